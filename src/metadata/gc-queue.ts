/** The queue of garbage collection: what may be unreferenced, to be looked at after a time (`collection.ts`). */
import { digest, query } from "./columns.ts";
import { STEP_ROWS, beginJob } from "./jobs.ts";
import type { Job, JobStep } from "./jobs.ts";
import { listed, rows, run } from "./sql.ts";
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

const REFERRERS_OF = query(
  { digest },
  `select digest from manifest where repo = $1 and subject = $2 and digest > $3 order by digest limit $4`,
);

/** Enqueues a manifest, to be looked at after that time. */
export function enqueueManifest(repo: number, manifest: string, after: number): Transaction<void> {
  return run(ENQUEUE, "manifest", repo, manifest, after);
}

/** Enqueues manifests, each to be looked at after that time. */
export function enqueueManifests(repo: number, digests: readonly string[], after: number): Transaction<void> {
  return run(ENQUEUE_MANIFESTS, repo, listed(digests), after);
}

/** Enqueues a repository's link to a blob, and then the blob. */
export function enqueueLink(repo: number, blob: string, after: number): Transaction<void> {
  return run(ENQUEUE, "link", repo, blob, after);
}

/** Enqueues all blobs that a manifest needs, its children, and its referrers; of many referrers, a job enqueues the rest. */
export function* enqueueAllOf(repo: number, manifest: string, now: number, after: number): Transaction<void> {
  yield* run(ENQUEUE_BLOBS_OF, repo, manifest, after);
  yield* run(ENQUEUE_CHILDREN_OF, repo, manifest, after);
  const referrers = yield* rows(REFERRERS_OF, repo, manifest, "", STEP_ROWS + 1);
  if (referrers.length > STEP_ROWS) yield* beginJob("review referrers", { repo, subject: manifest }, now);
  else if (referrers.length > 0) yield* enqueueManifests(repo, digestsOf(referrers), after);
}

function digestsOf(manifests: readonly { readonly digest: string }[]): readonly string[] {
  return manifests.map((each) => each.digest);
}

/** Enqueues some referrers of a manifest that was deleted when the job began. */
export function* stepOfReferrers({ repo, subject, position, begunAt }: Job, graceMs: number): Transaction<JobStep> {
  const referrers = yield* rows(REFERRERS_OF, repo, subject, position, STEP_ROWS);
  yield* enqueueManifests(repo, digestsOf(referrers), begunAt + graceMs);
  const last = referrers.at(-1);
  const isLast = !last || referrers.length < STEP_ROWS;
  return { rows: referrers.length, isLast, ...(last ? { position: last.digest } : {}) };
}
