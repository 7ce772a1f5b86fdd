/**
 * Revisions on PostgreSQL. Changes become visible in the order of the commits, which is not that of their numbers: so what is
 * new is what the snapshot of the last look could not see.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import type { RepositoryName } from "../../oci/repository-name.ts";
import { integer, optional, query, repositoryName, text } from "../columns.ts";
import type { Revision, RevisionScope, RevisionSource } from "../revision-source.ts";
import { rows } from "../sql.ts";
import type { SqlEngine } from "../sql.ts";

/** Changes that are read at once; where there are more, everything is taken as changed. */
const MAX_READ = 1000;

/** Repositories whose revisions are in memory at most. */
const MAX_REPOSITORIES = 10_000;

/**
 * Of 10,000 changes that are kept, so many may have come since the last look: when there are more, one may have been removed
 * that was not seen, also one that became visible late.
 */
const MAX_MISSED = 5000;

/** One row at the least, whose change is null when there is none. */
const CHANGES = query(
  {
    snapshot: text,
    accounts: integer,
    blobs: integer,
    oldest: optional(integer),
    newest: optional(integer),
    repository: optional(repositoryName),
  },
  `
  select pg_current_snapshot()::text as snapshot, a.number as accounts, b.number as blobs,
    (select min(number) from change) as oldest, (select max(number) from change) as newest, c.repository
  from revision a join revision b on b.scope = 'blobs'
  left join change c on c.transaction >= pg_snapshot_xmin($1::pg_snapshot)
    and not pg_visible_in_snapshot(c.transaction, $1::pg_snapshot)
  where a.scope = 'accounts' limit $2`,
);

/** Knows revisions by one query for all who ask in one turn of the event loop. */
export class PostgresRevisions implements RevisionSource {
  readonly #engine: SqlEngine;
  /** The revision of each repository that has changed since `#all` was last moved. */
  readonly #changes = new Map<RepositoryName, number>();
  #lastRevision = 0;
  /** The revision of all others: negative, and counted down. */
  #all = -1;
  #accounts = 0;
  #blobs = 0;
  #newest = 0;
  /** What the last look could see. */
  #snapshot: string | undefined;
  /** The query that was sent, and the one that was not yet, which callers can join. */
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  constructor(engine: SqlEngine) {
    this.#engine = engine;
  }

  async of(scope: RevisionScope): Promise<Revision> {
    await (this.#next ??= this.#lookNext());
    if (scope === "everything") return this.#snapshot ?? "";
    return scope === "accounts" ? this.#accounts : (this.#changes.get(scope.repository) ?? this.#all);
  }

  /** Looks when the last look is over, and at the end of this turn at the earliest: others of this turn come along. */
  async #lookNext(): Promise<void> {
    if (this.#running) await this.#running.catch(() => undefined);
    else await nextTurn();
    this.#running = this.#look().finally(() => (this.#running = undefined));
    this.#next = undefined;
    await this.#running;
  }

  async #look(): Promise<void> {
    const before = this.#snapshot;
    const found = await this.#engine.read(() => rows(CHANGES, before ?? null, MAX_READ));
    const [row] = found;
    if (!row) throw new Error("the database has no revisions: its schema is not that of this program");
    const mayHaveMissed = row.oldest !== undefined && row.oldest > Math.max(this.#newest - MAX_MISSED, 1);
    const isUnknown = before === undefined || row.blobs !== this.#blobs || mayHaveMissed;
    if (isUnknown || found.length === MAX_READ || this.#changes.size > MAX_REPOSITORIES) {
      this.#changes.clear();
      this.#all--;
    }
    this.#accounts = row.accounts;
    this.#blobs = row.blobs;
    this.#newest = row.newest ?? 0;
    this.#snapshot = row.snapshot;
    for (const { repository } of found) {
      if (repository !== undefined) this.#changes.set(repository, ++this.#lastRevision);
    }
  }
}
