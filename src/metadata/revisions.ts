/**
 * Revisions: what caches rest on. The transaction that changes something that a reader can see moves the revision of it, so
 * that a cached response of one repository survives what is pushed to others.
 */
import { randomInt } from "node:crypto";
import type { RepositoryName } from "../oci/repository-name.ts";
import { integer, query } from "./columns.ts";
import { first, run } from "./sql.ts";
import type { SqlEngine, Transaction } from "./sql.ts";

/** What a cached answer rests on. */
export type RevisionScope =
  /**
   * One repository: its manifests, tags, referrers and signatures, which blobs it shows, and whether those are intact.
   * An upload moves it when it becomes a blob, not before.
   */
  | { readonly repository: RepositoryName }
  /** Users, robots and signing keys: what authorization rests on. */
  | "accounts"
  /** Whatever is committed: lists over all repositories rest on it. */
  | "everything";

/** Equal (`===`) to an earlier one of the same scope as long as nothing in the scope has changed since. */
export type Revision = number | string;

const MOVE_REPOSITORY = `update repo set revision = $2 where id = $1`;

const MOVE_SHARED = `update revision set number = number + 1 where scope = $1`;

/** Below all sums of a repository that is there: one that was never changed and is removed is not what it was. */
const ABSENT = -(2 ** 48);

// One number of both: what reaches every repository moves that of each.
const OF_REPOSITORY = query(
  { revision: integer },
  `
  select number + coalesce((select revision from repo where name = $1), ${ABSENT}) as revision from revision
  where scope = 'blobs'`,
);

const OF_ACCOUNTS = query({ revision: integer }, `select number as revision from revision where scope = 'accounts'`);

/** Above all random numbers of repositories. The sum with the number of the blobs is exact as long as that is below it too. */
const RANDOM_END = 2 ** 47;

/** Records that a reader of the repository sees something else from now on. */
export function* moveRepository(repo: number): Transaction<void> {
  yield* run(MOVE_REPOSITORY, repo, randomInt(1, RANDOM_END));
}

/** Records that blobs became corrupt, or intact again, in whatever repositories show them. It is rare. */
export function* moveBlobs(): Transaction<void> {
  yield* run(MOVE_SHARED, "blobs");
}

/** Records a change of a user, a robot or a signing key. */
export function* moveAccounts(): Transaction<void> {
  yield* run(MOVE_SHARED, "accounts");
}

function* revisionOf(scope: Exclude<RevisionScope, "everything">): Transaction<number> {
  const row = yield* scope === "accounts" ? first(OF_ACCOUNTS) : first(OF_REPOSITORY, scope.repository);
  if (!row) throw new Error("the database has no revisions: its schema is not that of this program");
  return row.revision;
}

/** Repositories whose revisions are cached at most; then all are read again. */
const MAX_CACHED = 10_000;

/** Reads revisions; each at most once as long as nothing at all is committed. */
export class Revisions {
  readonly #engine: SqlEngine;
  readonly #ofRepositories = new Map<RepositoryName, Revision>();
  #ofAccounts: Revision | undefined;
  /** The commit as of which the cached revisions hold. */
  #commit = -1;

  constructor(engine: SqlEngine) {
    this.#engine = engine;
  }

  /**
   * Returns the revision of a scope, as of the beginning of this turn of the event loop at the least: a change that was
   * answered before a request came is in it. So whoever caches an answer takes the revision before it makes the answer.
   */
  of(scope: RevisionScope): Revision | Promise<Revision> {
    const commit = this.#engine.lastCommit();
    if (scope === "everything") return commit;
    if (commit !== this.#commit || this.#ofRepositories.size >= MAX_CACHED) this.#forget(commit);
    const cached = scope === "accounts" ? this.#ofAccounts : this.#ofRepositories.get(scope.repository);
    if (cached !== undefined) return cached;
    const found = this.#engine.readNow(() => revisionOf(scope));
    if (found instanceof Promise) return found; // of some moment between now and then: it is not cached
    if (scope === "accounts") this.#ofAccounts = found;
    else this.#ofRepositories.set(scope.repository, found);
    return found;
  }

  #forget(commit: number): void {
    this.#ofRepositories.clear();
    this.#ofAccounts = undefined;
    this.#commit = commit;
  }
}
