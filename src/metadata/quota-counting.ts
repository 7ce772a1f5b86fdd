/**
 * How much lies below the prefixes of quotas. A new one is counted in the background, in steps, by the sums that each
 * repository has of its own; from then on triggers keep the sum. What is counted, by names, the triggers keep from the same
 * moment on, so pushes and deletions go on meanwhile.
 */
import { Pace } from "../lib/pace.ts";
import { BEHIND_ALL_NAMES } from "../oci/repository-name.ts";
import { integer, optional, query, repositoryName, text } from "./columns.ts";
import type { Quota } from "./database.ts";
import { lockCounting } from "./locks.ts";
import { bound, first, locked, rows, rowsOf, run } from "./sql.ts";
import type { SqlEngine, Transaction } from "./sql.ts";

/** Amounts that quotas limit; bytes of what two repositories show count twice. */
export interface Amounts {
  readonly bytes: number;
  readonly tags: number;
  readonly repositories: number;
}

/** How much lies below the prefix of a quota. */
export interface QuotaUsage extends Amounts {
  /** Whether all of it is counted; at least so much lies there until then. */
  readonly isCounted: boolean;
}

/** What is counted of it; while it is being counted, how much was added below the prefix since that began, less what went. */
export interface CountedUsage extends Amounts {
  readonly added: Amounts | undefined;
}

const ROW = {
  bytes: integer,
  tags: integer,
  repositories: integer,
  addedBytes: integer,
  addedTags: integer,
  addedRepositories: integer,
  countedTo: optional(text),
};

const USAGE = query(
  ROW,
  `
  select bytes, tags, repositories, added_bytes, added_tags, added_repositories, counted_to
  from quota where prefix = $1`,
);

const BEGIN = `
  insert into quota (prefix, bytes, tags, repositories, counted_to) values ($1, 0, 0, 0, '')
  on conflict (prefix) do nothing`;

const PREFIXES = query({ prefix: text }, `select prefix from quota`);
const FORGET = `delete from quota where prefix = $1`;

const REPOSITORY = { name: repositoryName, bytes: integer, tags: integer };

const NEXT_REPOSITORIES = query(
  REPOSITORY,
  `select name, bytes, tags from repo where name > $1 and name < $2 order by name limit $3`,
);

const ONE_REPOSITORY = query(REPOSITORY, `select name, bytes, tags from repo where name = $1`);

const COUNT = `
  update quota set bytes = bytes + $2, tags = tags + $3, repositories = repositories + $4, counted_to = $5
  where prefix = $1`;

/** How much lies below the prefix of a quota, as far as it is counted; undefined when that has not begun. */
export function* usageBelow(prefix: string): Transaction<CountedUsage | undefined> {
  const row = yield* first(USAGE, prefix);
  if (!row) return undefined;
  const { bytes, tags, repositories } = row;
  const added = { bytes: row.addedBytes, tags: row.addedTags, repositories: row.addedRepositories };
  return { bytes, tags, repositories, added: row.countedTo === undefined ? undefined : added };
}

/** Forgets what lies below other prefixes than these: they have no quota any more. */
function* forgetOthers(prefixes: readonly string[]): Transaction<void> {
  const known = (yield* rows(PREFIXES)).map(({ prefix }) => prefix);
  for (const prefix of known) if (!prefixes.includes(prefix)) yield* run(FORGET, prefix);
}

/** Begins to count for those of the prefixes that have a quota since now. */
function* beginCounting(prefixes: readonly string[]): Transaction<void> {
  for (const prefix of new Set(prefixes)) yield* run(BEGIN, prefix);
}

/** Repositories that are counted in one step, for which others wait: about a millisecond. */
const STEP = 500;

/** The character behind the slash, by bytes. */
const AFTER_SLASH = "0";

/** Counts some more repositories. True when all are, or the quota is gone. */
export function* countNext(prefix: string): Transaction<boolean> {
  const [usage] = yield* rowsOf(locked([lockCounting()], bound(USAGE, prefix)));
  const countedTo = usage?.countedTo;
  if (countedTo === undefined) return true;
  const [from, to] = prefix === "*" ? ["", BEHIND_ALL_NAMES] : [`${prefix}/`, `${prefix}${AFTER_SLASH}`];
  // Other repositories may stand between that of the very name and those below it: `team-b` between `team` and `team/app`.
  const own = prefix !== "*" && countedTo < prefix ? yield* rows(ONE_REPOSITORY, prefix) : [];
  const below = yield* rows(NEXT_REPOSITORIES, countedTo < from ? from : countedTo, to, STEP);
  const counted = [...own, ...below];
  const isDone = below.length < STEP;
  yield* run(
    COUNT,
    prefix,
    counted.reduce((sum, { bytes }) => sum + bytes, 0),
    counted.reduce((sum, { tags }) => sum + tags, 0),
    counted.length,
    isDone ? null : (below.at(-1)?.name ?? null),
  );
  return isDone;
}

export class Quotas {
  readonly #engine: SqlEngine;
  readonly #quotas: readonly Quota[];
  readonly #closing = new AbortController();
  #counting: Promise<void> | undefined;
  /** Servers with other quotas, as in a rolling update, forget each other's once, when they start, and not forever. */
  #hasForgotten = false;

  constructor(engine: SqlEngine, quotas: readonly Quota[]) {
    this.#engine = engine;
    this.#quotas = quotas;
  }

  /**
   * Counts what lies below the prefixes of quotas, in short steps with a rest after each; the first call forgets what was
   * counted for quotas that are no more. Resolves once all is counted, or the registry is closed; when it is running, that is
   * shared.
   * A process that dies leaves the rest to the next call, of whatever process.
   */
  count(): Promise<void> {
    return (this.#counting ??= this.#count().finally(() => (this.#counting = undefined)));
  }

  async #count(): Promise<void> {
    const { signal } = this.#closing;
    if (signal.aborted) return;
    const prefixes = this.#quotas.map(({ prefix }) => prefix);
    if (!this.#hasForgotten) await this.#engine.write(() => forgetOthers(prefixes), "soon");
    this.#hasForgotten = true;
    await this.#engine.write(() => beginCounting(prefixes), "soon");
    const pace = new Pace({ signal });
    for (const prefix of prefixes) {
      while (!(await pace.step(() => this.#engine.write(() => countNext(prefix), "soon")))) {
        if (!(await pace.rest())) return;
      }
    }
  }

  /** How much lies below the prefix of a quota; undefined while counting has not begun, which a server does that has it. */
  async usage(prefix: string): Promise<QuotaUsage | undefined> {
    const found = await this.#engine.read(() => usageBelow(prefix));
    if (!found) return undefined;
    const { added, ...amounts } = found;
    return { ...amounts, isCounted: added === undefined };
  }

  /** Ends counting, before the engine is closed. */
  close(): void {
    this.#closing.abort();
  }
}
