/**
 * Revisions: what caches rest on. The transaction that changes something that a reader can see moves the revision of it, so
 * that a cached response of one repository survives what is pushed to others.
 */
import type { RepositoryName } from "../oci/repository-name.ts";
import { integer, optional, query, repositoryName } from "./columns.ts";
import type { Revision, RevisionScope, RevisionSource } from "./revision-source.ts";
import { first, listedIds, rows, run } from "./sql.ts";
import type { SqlEngine, Transaction } from "./sql.ts";

/** Changes of repositories that are kept: a process that has not looked for longer takes everything as changed. */
const MAX_CHANGES = 10_000;

const MOVE_REPOSITORY = query(
  { number: integer },
  `insert into change (repository) select name from repo where id = $1 returning number`,
);

const MOVE_REPOSITORIES = query(
  { number: integer },
  `
  insert into change (repository) select name from repo where id in (select cast(value as bigint) from json_each($1))
  returning number`,
);

const FORGET_CHANGES = `delete from change where number <= $1`;

const MOVE_SHARED = `update revision set number = number + 1 where scope = $1`;

/** One row at the least, whose change is null when there is none. */
const CHANGES_AFTER = query(
  { accounts: integer, blobs: integer, number: optional(integer), repository: optional(repositoryName) },
  `
  select a.number as accounts, b.number as blobs, c.number, c.repository
  from revision a join revision b on b.scope = 'blobs' left join change c on c.number > $1
  where a.scope = 'accounts' order by c.number limit $2`,
);

const LAST_CHANGE = query({ number: optional(integer) }, `select max(number) as number from change`);

/** Records that a reader of the repository sees something else from now on. */
export function* moveRepository(repo: number): Transaction<void> {
  const moved = yield* first(MOVE_REPOSITORY, repo);
  if (moved && moved.number % 1000 === 0) yield* run(FORGET_CHANGES, moved.number - MAX_CHANGES);
}

/** As `moveRepository`, for each of these once. */
export function* moveRepositories(repos: readonly number[]): Transaction<void> {
  if (repos.length === 0) return;
  const moved = yield* rows(MOVE_REPOSITORIES, listedIds(repos));
  const thousand = moved.find(({ number }) => number % 1000 === 0);
  if (thousand) yield* run(FORGET_CHANGES, thousand.number - MAX_CHANGES);
}

/** Records that blobs became corrupt, or intact again, in whatever repositories show them. It is rare. */
export function* moveBlobs(): Transaction<void> {
  yield* run(MOVE_SHARED, "blobs");
}

/** Records a change of a user, a robot or a signing key. */
export function* moveAccounts(): Transaction<void> {
  yield* run(MOVE_SHARED, "accounts");
}

interface Changes {
  /** The last one before them. */
  readonly last: number;
  readonly found: readonly {
    readonly accounts: number;
    readonly blobs: number;
    readonly number: number | undefined;
    readonly repository: RepositoryName | undefined;
  }[];
}

/** Returns what changed after the change `seen`; undefined stands for a process that has seen none. */
function* changesAfter(seen: number | undefined): Transaction<Changes> {
  const last = seen ?? (yield* first(LAST_CHANGE))?.number ?? 0;
  return { last, found: yield* rows(CHANGES_AFTER, last, MAX_READ) };
}

/** Changes that are read at once; where there are more, everything is taken as changed. */
const MAX_READ = 1000;

/** Repositories whose revisions are in memory at most. */
const MAX_REPOSITORIES = 10_000;

/** Knows revisions, by one read after each commit, however many repositories are asked for. */
export class Revisions implements RevisionSource {
  readonly #engine: SqlEngine;
  /** The last change of each repository that has changed since `#all` was last moved. */
  readonly #changes = new Map<RepositoryName, number>();
  /** The revision of all others. It is negative, and numbers of changes are not. */
  #all = -1;
  #accounts = 0;
  #blobs = 0;
  /** The last change that is known; undefined at the beginning. */
  #seen: number | undefined;
  /** The commit as of which all this is known. */
  #commit: number | undefined;

  constructor(engine: SqlEngine) {
    this.#engine = engine;
  }

  /**
   * Returns the revision of a scope, as of the beginning of this turn of the event loop at the least: a change that was
   * answered before a request came is in it. So callers take it before they make an answer that they cache.
   * Revisions are compared within one process only.
   */
  of(scope: RevisionScope): Revision | Promise<Revision> {
    const commit = this.#engine.lastCommit();
    if (scope === "everything") return commit;
    if (commit === this.#commit) return this.#known(scope);
    const found = this.#engine.readNow(() => changesAfter(this.#seen));
    if (found instanceof Promise) {
      return found.then((changes) => {
        this.#learn(changes);
        return this.#known(scope);
      });
    }
    this.#learn(found);
    this.#commit = commit;
    return this.#known(scope);
  }

  #known(scope: Exclude<RevisionScope, "everything">): Revision {
    return scope === "accounts" ? this.#accounts : (this.#changes.get(scope.repository) ?? this.#all);
  }

  #learn({ last, found }: Changes): void {
    const [row] = found;
    if (!row) throw new Error("the database has no revisions: its schema is not that of this program");
    const isGap = row.number !== undefined && row.number > last + 1;
    if (row.blobs !== this.#blobs || isGap || found.length === MAX_READ || this.#changes.size > MAX_REPOSITORIES) {
      this.#changes.clear();
      this.#all--;
    }
    this.#accounts = row.accounts;
    this.#blobs = row.blobs;
    this.#seen = Math.max(this.#seen ?? 0, last);
    for (const { number, repository } of found) {
      if (number === undefined || repository === undefined || number <= this.#seen) continue;
      this.#changes.set(repository, number);
      this.#seen = number;
    }
  }
}
