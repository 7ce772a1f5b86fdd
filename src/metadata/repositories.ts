/** Statements about repositories. */
import type { RepositoryName } from "../oci/repository-name.ts";
import type { PageFrom } from "./metadata-store.ts";
import { first, rows } from "./sql.ts";
import type { Transaction } from "./sql.ts";

const FIND = `select id from repo where name = $1`;

const BEGIN = `insert into repo (name, created_at) values ($1, $2) on conflict (name) do nothing`;

const EXISTS = `
  select 1 as found from repo where name = $1 and (
    exists (select 1 from manifest where repo = repo.id) or
    exists (select 1 from repo_blob where repo = repo.id) or
    exists (select 1 from upload where repo = repo.id))`;

const HAS_MANIFEST = `select 1 as found from manifest where repo = $1 and digest = $2`;

const LIST_AFTER = `
  select name from repo
  where name > $1 and exists (select 1 from manifest where repo = repo.id)
  order by name limit $2`;

const LIST_FROM = `
  select name from repo
  where name >= $1 and exists (select 1 from manifest where repo = repo.id)
  order by name limit $2`;

const IS_EMPTY = `
  select 1 as found from repo where id = $1
  and not exists (select 1 from manifest where repo = $1)
  and not exists (select 1 from repo_blob where repo = $1)
  and not exists (select 1 from upload where repo = $1)`;

const FORGET_HISTORY = `delete from tag_history where repo = $1`;
const FORGET_REPOSITORY = `delete from repo where id = $1`;

/** The number of the repository, or undefined when nobody has written to it. */
export function* findRepository(name: RepositoryName): Transaction<number | undefined> {
  return (yield* first<{ id: number }>(FIND, name))?.id;
}

/** The number of the repository, which begins now if it is new. */
export function* beginRepository(name: RepositoryName, now: number): Transaction<number> {
  const found = yield* findRepository(name);
  if (found !== undefined) return found;
  yield* rows(BEGIN, name, now);
  const begun = yield* findRepository(name);
  if (begun === undefined) throw new Error(`the repository ${name} went while it began`);
  return begun;
}

export function* repositoryExists(name: RepositoryName): Transaction<boolean> {
  return (yield* first(EXISTS, name)) !== undefined;
}

export function* hasManifest(repo: number, digest: string): Transaction<boolean> {
  return (yield* first(HAS_MANIFEST, repo, digest)) !== undefined;
}

export function* listRepositories({ after = "", from, limit }: PageFrom): Transaction<readonly RepositoryName[]> {
  const found = yield* from === undefined
    ? rows<{ name: RepositoryName }>(LIST_AFTER, after, limit)
    : rows<{ name: RepositoryName }>(LIST_FROM, from, limit);
  return found.map((row) => row.name);
}

/** Forgets the name of a repository in which nothing lies any more, and what its tags pointed at: all of it is gone. */
export function* forgetIfEmpty(repo: number): Transaction<void> {
  if (!(yield* first(IS_EMPTY, repo))) return;
  yield* rows(FORGET_HISTORY, repo);
  yield* rows(FORGET_REPOSITORY, repo);
}
