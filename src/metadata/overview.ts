/** How much there is and what was last done, for administrators: the statements walk through what they count. */
import { integer, query, text, word } from "./columns.ts";
import type { Database } from "./database.ts";
import { first, rows, run } from "./sql.ts";
import type { Transaction } from "./sql.ts";

/** Kinds of work on the whole registry. */
export type RunName = "backup" | "scrub" | "gc" | "check";

export interface Overview {
  readonly repositories: number;
  readonly tags: number;
  readonly manifests: number;
  readonly blobs: number;
  /** Of all blobs and manifests, each counted once for a blob and once in each repository for a manifest. */
  readonly bytes: number;
  /** Uploads that have begun and not ended. */
  readonly uploads: number;
  /** Prefixes of quotas that are being counted. */
  readonly countingQuotas: readonly string[];
  /** When each kind of work was last done to its end, in milliseconds since 1970. */
  readonly lastRuns: Readonly<Partial<Record<RunName, number>>>;
}

const COUNTS = query(
  { repositories: integer, tags: integer, manifests: integer, blobs: integer, bytes: integer, uploads: integer },
  `
  select
    (select count(*) from repo r where r.name < '~' and exists (select 1 from manifest m where m.repo = r.id))
      as repositories,
    (select coalesce(sum(tags), 0) from repo where name < '~') as tags,
    (select count(*) from manifest) - (select count(*) from repo r join manifest m on m.repo = r.id where r.name >= '~')
      as manifests,
    (select count(*) from blob) as blobs,
    (select coalesce(sum(size), 0) from blob) + (select coalesce(sum(size), 0) from manifest) as bytes,
    (select count(*) from upload) as uploads`,
);

const LAST_RUNS = query(
  { job: word<RunName>("backup", "scrub", "gc", "check"), at: integer },
  `select job, at from last_run`,
);

const COUNTING = query({ prefix: text }, `select prefix from quota where counted_to is not null order by prefix`);

const RECORD_RUN = `
  insert into last_run (job, at) values ($1, $2) on conflict (job) do update set at = excluded.at`;

export class OverviewOfAll {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** How much there is, and what was last done. It walks through all tables. */
  read(): Promise<Overview> {
    return this.#database.engine.read(function* (): Transaction<Overview> {
      const counts = yield* first(COUNTS);
      if (!counts) throw new Error("nothing was counted");
      const runs = yield* rows(LAST_RUNS);
      const countingQuotas = (yield* rows(COUNTING)).map(({ prefix }) => prefix);
      return { ...counts, countingQuotas, lastRuns: Object.fromEntries(runs.map(({ job, at }) => [job, at])) };
    });
  }

  /** Records that a kind of work on the whole registry was done to its end. */
  recordRun(job: RunName): Promise<void> {
    const { engine, clock } = this.#database;
    return engine.write(() => run(RECORD_RUN, job, clock.now()));
  }
}
