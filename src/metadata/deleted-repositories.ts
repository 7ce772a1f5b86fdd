/**
 * Deleted repositories. Deleting renames the row of the repository: no name that a client can write finds it any more, nor
 * anything in it, and the name is free for a new repository with another id. A job removes the rows.
 */
import type { RepositoryName } from "../oci/repository-name.ts";
import { digest, integer, optional, query, text } from "./columns.ts";
import { beginJob, STEP_ROWS } from "./jobs.ts";
import type { Job, JobStep } from "./jobs.ts";
import { moveRepository } from "./revisions.ts";
import { rows, run } from "./sql.ts";
import type { Transaction } from "./sql.ts";
import { moveToTrash } from "./trash.ts";

/** Every name of a repository comes before `~`, by bytes; those of deleted ones begin with it. */
const RENAME = `update repo set name = '~' || id where id = $1 and name < '~'`;

const REMOVE_TAGS = `
  delete from tag where repo = $1 and name in (select name from tag where repo = $1 order by name limit $2) returning name`;

const REMOVE_COUNTS = `
  delete from tag_count where (repo, digest) in (
    select repo, digest from tag_count where repo = $1 order by digest limit $2) returning digest`;

const REMOVE_SUBJECTS = `
  delete from former_subject where (repo, digest) in (
    select repo, digest from former_subject where repo = $1 order by digest limit $2) returning digest`;

const REMOVE_HISTORY = `
  delete from tag_history where id in (select id from tag_history where repo = $1 order by name limit $2) returning id`;

const REMOVE_EDGES = query(
  { blob: digest },
  `
  delete from manifest_blob where (repo, manifest, blob) in (
    select repo, manifest, blob from manifest_blob where repo = $1 order by manifest, blob limit $2)
  returning blob`,
);

const REMOVE_CHILDREN = `
  delete from manifest_child where (repo, parent, child) in (
    select repo, parent, child from manifest_child where repo = $1 order by parent, child limit $2)
  returning child`;

const REMOVE_MISSING = `
  delete from manifest_missing where (repo, manifest, digest) in (
    select repo, manifest, digest from manifest_missing where repo = $1 order by manifest, digest limit $2)
  returning digest`;

const REMOVE_SIGNATURES = `
  delete from signature where (repo, manifest, name) in (
    select repo, manifest, name from signature where repo = $1 order by manifest, name limit $2)
  returning name`;

const MANIFESTS = query(
  { digest, size: integer },
  `select digest, size from manifest where repo = $1 order by digest limit $2`,
);

const REMOVE_MANIFESTS = `delete from manifest where repo = $1 and digest in (select value from json_each($2))`;

const REMOVE_UPLOADS = query(
  { storageKey: text, finalKey: optional(text) },
  `
  delete from upload where id in (select id from upload where repo = $1 limit $2)
  returning storage_key, final_key`,
);

const REMOVE_LINKS = query(
  { blob: digest },
  `
  delete from repo_blob where (repo, digest) in (
    select repo, digest from repo_blob where repo = $1 order by digest limit $2)
  returning digest as blob`,
);

const REMOVE_ENTRIES = `
  delete from gc_queue where (kind, repo, digest) in (
    select kind, repo, digest from gc_queue where kind = $1 and repo = $2 order by digest limit $3)
  returning digest`;

const UNREFERENCE_BLOBS = `
  update blob set unref_at = $2 where digest in (select value from json_each($1))`;

const ENQUEUE_BLOBS = `
  insert into gc_queue (kind, repo, digest, review_after) select 'blob', 0, value, $2 from json_each($1) where true
  on conflict (kind, repo, digest) do update set review_after = excluded.review_after`;

const FORGET = `delete from repo where id = $1`;

/** Hides a repository and all that is in it, in a moment however much it is, and begins the job that removes it. */
export function* deleteRepository(repo: number, name: RepositoryName, now: number): Transaction<void> {
  yield* moveRepository(repo);
  yield* run(RENAME, repo);
  yield* beginJob("delete repository", { repo, subject: name }, now);
}

/** Bytes of manifests that one step removes, at most, when it removes several. */
const STEP_BYTES = 256 * 1024;

/**
 * Removes some rows of a deleted repository, in an order in which no row is removed that another one still refers to.
 * What its blobs lose is enqueued: garbage collection removes those that nothing else references.
 */
export function* stepOfDeletion({ repo }: Job, now: number, reviewAfter: number): Transaction<JobStep> {
  for (const remove of [
    () => countOf(REMOVE_TAGS, repo, STEP_ROWS),
    () => countOf(REMOVE_COUNTS, repo, STEP_ROWS),
    () => countOf(REMOVE_SUBJECTS, repo, STEP_ROWS),
    () => countOf(REMOVE_HISTORY, repo, STEP_ROWS),
    () => removeFromBlobs(REMOVE_EDGES, repo, now, reviewAfter),
    () => countOf(REMOVE_CHILDREN, repo, STEP_ROWS),
    () => countOf(REMOVE_MISSING, repo, STEP_ROWS),
    () => countOf(REMOVE_SIGNATURES, repo, STEP_ROWS / 10),
    () => removeManifests(repo),
    () => removeUploads(repo, now),
    () => removeFromBlobs(REMOVE_LINKS, repo, now, reviewAfter),
    () => countOf(REMOVE_ENTRIES, "link", repo, STEP_ROWS),
    () => countOf(REMOVE_ENTRIES, "manifest", repo, STEP_ROWS),
  ]) {
    const removed = yield* remove();
    if (removed > 0) return { rows: removed, isLast: false };
  }
  yield* run(FORGET, repo);
  return { rows: 0, isLast: true };
}

function* countOf(removal: string, ...values: readonly (string | number)[]): Transaction<number> {
  return ((yield { text: removal, values }) as readonly unknown[]).length;
}

function* removeFromBlobs(
  statement: typeof REMOVE_LINKS,
  repo: number,
  now: number,
  reviewAfter: number,
): Transaction<number> {
  const removed = yield* rows(statement, repo, STEP_ROWS);
  if (removed.length === 0) return 0;
  const blobs = JSON.stringify([...new Set(removed.map(({ blob }) => blob))]);
  yield* run(UNREFERENCE_BLOBS, blobs, now);
  yield* run(ENQUEUE_BLOBS, blobs, reviewAfter);
  return removed.length;
}

function* removeManifests(repo: number): Transaction<number> {
  const found = yield* rows(MANIFESTS, repo, STEP_ROWS);
  let bytes = 0;
  const some = found.filter(({ size }, at) => (bytes += size) <= STEP_BYTES || at === 0);
  if (some.length > 0) yield* run(REMOVE_MANIFESTS, repo, JSON.stringify(some.map((each) => each.digest)));
  return some.length;
}

function* removeUploads(repo: number, now: number): Transaction<number> {
  const removed = yield* rows(REMOVE_UPLOADS, repo, STEP_ROWS / 2);
  for (const { storageKey, finalKey } of removed) {
    yield* moveToTrash(storageKey, now);
    if (finalKey !== undefined) yield* moveToTrash(finalKey, now);
  }
  return removed.length;
}
