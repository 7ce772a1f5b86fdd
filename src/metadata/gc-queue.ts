/** The queue of garbage collection: what may be unreferenced, to be looked at after a time (`collection.ts`). */
import { listed, run } from "./sql.ts";
import type { Transaction } from "./sql.ts";

const PUT = `
  on conflict (kind, repo, digest) do update set review_after = excluded.review_after`;

const ENQUEUE = `insert into gc_queue (kind, repo, digest, review_after) values ($1, $2, $3, $4) ${PUT}`;

const ENQUEUE_MANIFESTS = `
  insert into gc_queue (kind, repo, digest, review_after)
  select 'manifest', $1, value, $3 from json_each($2) where true ${PUT}`;

const ENQUEUE_BLOBS_OF = `
  insert into gc_queue (kind, repo, digest, review_after)
  select 'link', repo, blob, $3 from manifest_blob where repo = $1 and manifest = $2 ${PUT}`;

const ENQUEUE_CHILDREN_OF = `
  insert into gc_queue (kind, repo, digest, review_after)
  select 'manifest', repo, child, $3 from manifest_child where repo = $1 and parent = $2 ${PUT}`;

const ENQUEUE_REFERRERS_OF = `
  insert into gc_queue (kind, repo, digest, review_after)
  select 'manifest', repo, digest, $3 from manifest where repo = $1 and subject = $2 ${PUT}`;

/** Enqueues a manifest, to be looked at after that time. */
export function enqueueManifest(repo: number, digest: string, after: number): Transaction<void> {
  return run(ENQUEUE, "manifest", repo, digest, after);
}

/** Enqueues manifests, each to be looked at after that time. */
export function enqueueManifests(repo: number, digests: readonly string[], after: number): Transaction<void> {
  return run(ENQUEUE_MANIFESTS, repo, listed(digests), after);
}

/** Enqueues a repository's link to a blob, and then the blob. */
export function enqueueLink(repo: number, digest: string, after: number): Transaction<void> {
  return run(ENQUEUE, "link", repo, digest, after);
}

/** Enqueues the bytes of a blob that no repository shows any more. */
export function enqueueBlob(digest: string, after: number): Transaction<void> {
  return run(ENQUEUE, "blob", 0, digest, after);
}

/** Enqueues all blobs that a manifest needs, its children, and its referrers. */
export function* enqueueAllOf(repo: number, manifest: string, after: number): Transaction<void> {
  yield* run(ENQUEUE_BLOBS_OF, repo, manifest, after);
  yield* run(ENQUEUE_CHILDREN_OF, repo, manifest, after);
  yield* run(ENQUEUE_REFERRERS_OF, repo, manifest, after);
}
