/** Repositories: their names and ids, and how much is in each. */
import { BEHIND_ALL_NAMES } from "../oci/repository-name.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import type { Tag } from "../oci/tag.ts";
import { record } from "./changes.ts";
import type { Cause } from "./changes.ts";
import { integer, query, repositoryName, truth } from "./columns.ts";
import type { Database } from "./database.ts";
import { digestBytes } from "./digest-bytes.ts";
import { deleteRepository } from "./deleted-repositories.ts";
import { immutableTagIn } from "./holds.ts";
import { STEP_ROWS } from "./jobs.ts";
import type { Page } from "./page.ts";
import { any, batch, first, listedIds, rows, statement } from "./sql.ts";
import type { Transaction } from "./sql.ts";

/** How much is in one repository. */
export interface RepositoryUsage {
  readonly name: RepositoryName;
  readonly tags: number;
  readonly manifests: number;
  /** Of its manifests and of the blobs that it shows; what two repositories show counts in both. */
  readonly bytes: number;
  /** When a manifest was last pushed. */
  readonly lastPush: number;
}

const FIND = query({ id: integer }, `select id from repo where name = $1`);

const BEGIN = query(
  { id: integer },
  `insert into repo (name, created_at) values ($1, $2) on conflict (name) do nothing returning id`,
);

const EXISTS = `
  select 1 as found from repo where name = $1 and (
    exists (select 1 from manifest where repo = repo.id) or
    exists (select 1 from repo_blob where repo = repo.id) or
    exists (select 1 from upload where repo = repo.id))`;

const FIND_MANIFEST = query({ id: integer }, `select id from manifest where repo = $1 and digest = $2`);

const FIND_LINKED = query(
  { id: integer },
  `select b.id from blob b join repo_blob l on l.repo = $1 and l.blob = b.id where b.digest = $2`,
);

// Not those with a manifest alone: there may be any number of others before the next one of them.
const LIST = query(
  { name: repositoryName, hasManifests: truth },
  `
  select name, exists (select 1 from manifest where repo = repo.id) as has_manifests from repo
  where name >= $1 and name < $2 order by name limit $3`,
);

const USAGE = query(
  { name: repositoryName, manifests: integer, lastPush: integer, tags: integer, bytes: integer },
  `
  select r.name, (select count(*) from manifest m where m.repo = r.id) as manifests,
    (select max(m.pushed_at) from manifest m where m.repo = r.id) as last_push, r.tags, r.bytes
  from repo r where r.name > $1 and r.name < '~' and exists (select 1 from manifest m where m.repo = r.id)
  order by r.name limit $2`,
);

const USAGE_OF = query(
  { manifests: integer, tags: integer, bytes: integer },
  `
  select count(m.id) as manifests, r.tags, r.bytes from repo r left join manifest m on m.repo = r.id
  where r.name = $1 group by r.id`,
);

const EMPTY_AMONG = query(
  { id: integer, name: repositoryName, hasLongHistory: truth },
  `
  select r.id, r.name,
    exists (select 1 from tag_history h where h.repo = r.id limit 1 offset ${STEP_ROWS}) as has_long_history
  from repo r where r.id in (select cast(value as bigint) from json_each($1)) and r.name < '~'
  and not exists (select 1 from manifest m where m.repo = r.id)
  and not exists (select 1 from repo_blob l where l.repo = r.id)
  and not exists (select 1 from upload u where u.repo = r.id)`,
);

const FORGET_HISTORIES = `
  delete from tag_history where repo in (select cast(value as bigint) from json_each($1))`;

const FORGET_REPOSITORIES = `delete from repo where id in (select cast(value as bigint) from json_each($1))`;

/** In an order in which no row is removed that another one still refers to. */
const REMOVE_ALL = [
  `insert into change (repository) select name from repo where true`,
  `insert into trash (storage_key, after) select storage_key, 0 from blob where storage_key is not null`,
  `insert into trash (storage_key, after) select part_key, 0 from upload where true on conflict (storage_key) do nothing`,
  `insert into trash (storage_key, after) select final_key, 0 from upload where final_key is not null
   on conflict (storage_key) do nothing`,
  `update trash set after = 0 where true`,
  `delete from tag where true`,
  `delete from tag_count where true`,
  `delete from former_subject where true`,
  `delete from tag_history where true`,
  `delete from manifest where true`,
  `delete from repo_blob where true`,
  `delete from blob where true`,
  `delete from upload where true`,
  `delete from job where true`,
  `delete from repo where true`,
] as const;

/** The id of the repository, or undefined when nothing was ever written to it. */
export function* findRepository(name: RepositoryName): Transaction<number | undefined> {
  return (yield* first(FIND, name))?.id;
}

/** The id of the repository, which begins now if it is new. */
export function* beginRepository(name: RepositoryName, now: number): Transaction<number> {
  const found = (yield* findRepository(name)) ?? (yield* first(BEGIN, name, now))?.id ?? (yield* findRepository(name));
  if (found === undefined) throw new Error(`the repository ${name} went while it began`);
  return found;
}

/** The id of a manifest, or undefined when the repository has no such manifest. */
export function* findManifest(repo: number, manifest: string): Transaction<number | undefined> {
  return (yield* first(FIND_MANIFEST, repo, digestBytes(manifest)))?.id;
}

/** The id of a blob, or undefined when the repository does not show it, and would not if it were intact. */
export function* findLinked(repo: number, blob: string): Transaction<number | undefined> {
  return (yield* first(FIND_LINKED, repo, digestBytes(blob)))?.id;
}

/** Forgets the names of those of the repositories in which nothing lies any more, and what their tags pointed at: all of it is gone. */
export function* forgetEmpty(repos: readonly number[], now: number): Transaction<void> {
  if (repos.length === 0) return;
  const empty = yield* rows(EMPTY_AMONG, listedIds(repos));
  if (empty.length === 0) return;
  const short = listedIds(empty.filter(({ hasLongHistory }) => !hasLongHistory).map(({ id }) => id));
  yield* batch(statement(FORGET_HISTORIES, short), statement(FORGET_REPOSITORIES, short));
  for (const { id, name, hasLongHistory } of empty) if (hasLongHistory) yield* deleteRepository(id, name, now);
}

/** Names from `from` on, and before `until`. */
export interface RepositoryRange {
  readonly from?: string | undefined;
  readonly until?: string | undefined;
  readonly limit: number;
}

export interface ListedRepository {
  readonly name: RepositoryName;
  readonly hasManifests: boolean;
}

export class Repositories {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Whether something is in the repository: a manifest, a blob or an upload. */
  exists(name: RepositoryName): Promise<boolean> {
    return this.#database.engine.read(() => any(EXISTS, name));
  }

  /** A tag of the repository that matches one of `patterns`; undefined when none does. */
  immutableTag(name: RepositoryName, patterns: readonly string[]): Promise<Tag | undefined> {
    return this.#database.engine.read(function* (): Transaction<Tag | undefined> {
      const repo = yield* findRepository(name);
      return repo === undefined ? undefined : yield* immutableTagIn(repo, patterns);
    });
  }

  /**
   * Deletes the repository with all that is in it, unless one of its tags is immutable: one that matches a pattern, such as `v*`.
   * It is not found from then on, and a push to its name begins a new one. A job removes the rows, and garbage collection what
   * they leave. False when nothing is in it.
   */
  delete(
    name: RepositoryName,
    cause?: Cause,
    immutableTags: readonly string[] = [],
  ): Promise<boolean | { readonly immutable: Tag }> {
    const { engine, clock, recorder } = this.#database;
    return engine.write(function* (): Transaction<boolean | { readonly immutable: Tag }> {
      const repo = (yield* any(EXISTS, name)) ? yield* findRepository(name) : undefined;
      if (repo === undefined) return false;
      const immutable = yield* immutableTagIn(repo, immutableTags);
      if (immutable !== undefined) return { immutable };
      const now = clock.now();
      yield* deleteRepository(repo, name, now);
      yield* record(recorder, cause, now, { action: "delete", object: "repository", repository: name });
      return true;
    });
  }

  /** The names of a range in byte order, at most `limit`, and whether a list shows them: a repository has a manifest. */
  list({ from = "", until = BEHIND_ALL_NAMES, limit }: RepositoryRange): Promise<readonly ListedRepository[]> {
    const end = until < BEHIND_ALL_NAMES ? until : BEHIND_ALL_NAMES; // deleted repositories come behind
    return this.#database.engine.read(() => rows(LIST, from, end, limit));
  }

  /** How much is in each repository that has a manifest, in byte order of their names. It walks through their manifests. */
  usage({ after = "", limit }: Page): Promise<readonly RepositoryUsage[]> {
    return this.#database.engine.read(() => rows(USAGE, after, limit));
  }

  /** How much is in one repository; undefined when nothing was ever written to it. It walks through its manifests. */
  async usageOf(name: RepositoryName): Promise<Omit<RepositoryUsage, "lastPush"> | undefined> {
    const found = await this.#database.engine.read(() => first(USAGE_OF, name));
    return found && { name, ...found };
  }

  /**
   * Removes every repository, with its manifests, tags, blobs and unfinished uploads, and makes their bytes trash that is
   * due. Accounts, tokens and keys stay.
   */
  removeAll(): Promise<void> {
    return this.#database.engine.write(function* (): Transaction<void> {
      yield* batch(...REMOVE_ALL.map((text) => statement(text)));
    });
  }
}
