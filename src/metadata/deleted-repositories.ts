/**
 * Deleted repositories. Deleting renames the row of the repository: no name that a client can write finds it any more, nor
 * anything in it, and the name is free for a new repository with another id. A job removes the rows.
 */
import type { RepositoryName } from "../oci/repository-name.ts";
import { integer, optional, query, text } from "./columns.ts";
import { IDS } from "./garbage.ts";
import { beginJob, STEP_ROWS } from "./jobs.ts";
import type { Job, JobStep } from "./jobs.ts";
import { moveRepository } from "./revisions.ts";
import { batch, listedIds, rows, run, statement } from "./sql.ts";
import type { Transaction } from "./sql.ts";
import { keysOfUpload, moveAllToTrash } from "./trash.ts";

/** Every name of a repository comes before `~`, by bytes; those of deleted ones begin with it. */
const RENAME = `update repo set name = '~' || id where id = $1 and name < '~'`;

const REMOVE_TAGS = `
  delete from tag where repo = $1 and name in (select name from tag where repo = $1 order by name limit $2) returning name`;

const REMOVE_SUBJECTS = `
  delete from former_subject where id in (select id from former_subject where repo = $1 order by digest limit $2)
  returning id`;

const REMOVE_HISTORY = `
  delete from tag_history where id in (select id from tag_history where repo = $1 order by name limit $2) returning id`;

const MANIFESTS = query(
  { id: integer, size: integer },
  `select id, size from manifest where repo = $1 order by digest limit $2`,
);

const REMOVE_EDGES = query(
  { blob: integer },
  `
  delete from manifest_blob where (manifest, blob) in (
    select manifest, blob from manifest_blob where manifest in ${IDS} limit $2)
  returning blob`,
);

const REMOVE_CHILDREN = `
  delete from manifest_child where (parent, child) in (
    select parent, child from manifest_child where parent in ${IDS} limit $2)
  returning parent`;

const REMOVE_MISSING = `
  delete from manifest_missing where (manifest, digest) in (
    select manifest, digest from manifest_missing where manifest in ${IDS} limit $2)
  returning manifest`;

const REMOVE_SIGNATURES = `
  delete from signature where (manifest, name) in (
    select manifest, name from signature where manifest in ${IDS} limit $2)
  returning name`;

const REMOVE_COUNTS = `delete from tag_count where manifest in ${IDS}`;

const REMOVE_MANIFESTS = `delete from manifest where id in ${IDS}`;

const REMOVE_UPLOADS = query(
  { partKey: text, finalKey: optional(text) },
  `
  delete from upload where id in (select id from upload where repo = $1 limit $2)
  returning part_key, final_key`,
);

const REMOVE_LINKS = query(
  { blob: integer },
  `
  delete from repo_blob where (repo, blob) in (
    select repo, blob from repo_blob where repo = $1 order by blob limit $2)
  returning blob`,
);

const UNREFERENCE_BLOBS = `update blob set unref_at = $2, review_after = $3 where id in ${IDS}`;

const FORGET = `delete from repo where id = $1`;

/** Hides a repository and all that is in it, in a moment however much it is, and begins the job that removes it. */
export function* deleteRepository(repo: number, name: RepositoryName, now: number): Transaction<void> {
  yield* moveRepository(repo);
  yield* run(RENAME, repo);
  yield* beginJob("delete repository", { repo, name }, now);
}

/** Manifests that one step is about, and bytes of those that it removes, at most, when it removes several. */
const STEP_MANIFESTS = 25;
const STEP_BYTES = 256 * 1024;

/**
 * Removes some rows of a deleted repository, in an order in which no row is removed that another one still refers to.
 * What its blobs lose is enqueued: garbage collection removes those that nothing else references.
 */
export function* stepOfDeletion({ repo }: Job, now: number, reviewAfter: number): Transaction<JobStep> {
  for (const remove of [
    () => countOf(REMOVE_TAGS, repo, STEP_ROWS),
    () => countOf(REMOVE_SUBJECTS, repo, STEP_ROWS),
    () => countOf(REMOVE_HISTORY, repo, STEP_ROWS),
    () => removeManifests(repo, now, reviewAfter),
    () => removeUploads(repo, now),
    () => removeFromBlobs(REMOVE_LINKS, repo, now, reviewAfter),
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
  removal: typeof REMOVE_LINKS,
  of: number | string,
  now: number,
  reviewAfter: number,
): Transaction<number> {
  const removed = yield* rows(removal, of, STEP_ROWS);
  if (removed.length === 0) return 0;
  yield* run(UNREFERENCE_BLOBS, listedIds(removed.map(({ blob }) => blob)), now, reviewAfter);
  return removed.length;
}

/** Removes what the first manifests name, and then them. */
function* removeManifests(repo: number, now: number, reviewAfter: number): Transaction<number> {
  const found = yield* rows(MANIFESTS, repo, STEP_MANIFESTS);
  if (found.length === 0) return 0;
  const ids = listedIds(found.map(({ id }) => id));
  for (const remove of [
    () => removeFromBlobs(REMOVE_EDGES, ids, now, reviewAfter),
    () => countOf(REMOVE_CHILDREN, ids, STEP_ROWS),
    () => countOf(REMOVE_MISSING, ids, STEP_ROWS),
    () => countOf(REMOVE_SIGNATURES, ids, STEP_ROWS / 10),
  ]) {
    const removed = yield* remove();
    if (removed > 0) return removed;
  }
  let bytes = 0;
  const some = found.filter(({ size }, at) => (bytes += size) <= STEP_BYTES || at === 0).map(({ id }) => id);
  yield* batch(statement(REMOVE_COUNTS, listedIds(some)), statement(REMOVE_MANIFESTS, listedIds(some)));
  return some.length;
}

function* removeUploads(repo: number, now: number): Transaction<number> {
  const removed = yield* rows(REMOVE_UPLOADS, repo, STEP_ROWS / 2);
  yield* moveAllToTrash(removed.flatMap(keysOfUpload), now);
  return removed.length;
}
