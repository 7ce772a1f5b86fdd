/** The queue of garbage collection: rows that may be unreferenced, to be looked at after a time (`collection.ts`). */
import { digest, integer, query } from "./columns.ts";
import { digestBytes } from "./digest-bytes.ts";
import { STEP_ROWS, beginJob } from "./jobs.ts";
import type { Job, JobStep } from "./jobs.ts";
import { batch, listedIds, rows, statement } from "./sql.ts";
import type { Statement, Transaction } from "./sql.ts";

const ENQUEUE_MANIFESTS = `
  update manifest set review_after = $2 where id in (select cast(value as bigint) from json_each($1))`;

// A client that was told "exists" of a needed blob was promised a lease, and nothing was written for it then: so the
// lease begins when the need ends.
const UNREFERENCE_LINKS = `
  update repo_blob set touched_at = $3, unref_at = $3, review_after = $4
  where repo = $1 and blob in (select blob from manifest_blob where manifest = $2)`;

// Also of blobs that the repository does not show any more.
const UNREFERENCE_BLOBS = `
  update blob set touched_at = $2, unref_at = $2, review_after = $3
  where id in (select blob from manifest_blob where manifest = $1)`;

const ENQUEUE_CHILDREN = `
  update manifest set review_after = $3
  where repo = $1 and digest in (select child from manifest_child where parent = $2)`;

const REFERRERS_OF = query(
  { id: integer, digest },
  `
  select id, digest from manifest where repo = $1 and subject = $2 and digest > $3 order by digest limit $4`,
);

const ENQUEUE_REPOSITORY = `update repo set review_after = $2 where id = $1`;

/** A manifest of a repository. */
export interface ManifestKey {
  readonly repo: number;
  readonly id: number;
  readonly digest: string;
}

/** Enqueues a repository in which nothing may lie any more, to be looked at after that time. */
export function enqueueRepository(repo: number, after: number): Statement {
  return statement(ENQUEUE_REPOSITORY, repo, after);
}

/** Enqueues manifests, each to be looked at after that time. */
export function enqueueManifests(ids: readonly number[], after: number): Statement {
  return statement(ENQUEUE_MANIFESTS, listedIds(ids), after);
}

/**
 * Enqueues all blobs that a manifest needs, its children, and its referrers; of many referrers, a job enqueues the rest. Every
 * blob it needs, whether or not another manifest needs it too: two deletions at once each see the other's edge.
 */
export function* enqueueAllOf(manifest: ManifestKey, now: number, after: number): Transaction<void> {
  const { repo, id, digest: subject } = manifest;
  yield* batch(
    statement(UNREFERENCE_LINKS, repo, id, now, after),
    statement(UNREFERENCE_BLOBS, id, now, after),
    statement(ENQUEUE_CHILDREN, repo, id, after),
  );
  const referrers = yield* rows(REFERRERS_OF, repo, digestBytes(subject), digestBytes(""), STEP_ROWS + 1);
  if (referrers.length > STEP_ROWS) yield* beginJob("review referrers", { repo, digest: subject }, now);
  else if (referrers.length > 0) yield* batch(enqueueManifests(idsOf(referrers), after));
}

function idsOf(manifests: readonly { readonly id: number }[]): readonly number[] {
  return manifests.map(({ id }) => id);
}

/** Enqueues some referrers of a manifest that was deleted when the job began. */
export function* stepOfReferrers({ repo, subject, position, begunAt }: Job, graceMs: number): Transaction<JobStep> {
  const referrers = yield* rows(REFERRERS_OF, repo, digestBytes(subject), digestBytes(position), STEP_ROWS);
  yield* batch(enqueueManifests(idsOf(referrers), begunAt + graceMs));
  const last = referrers.at(-1);
  const isLast = !last || referrers.length < STEP_ROWS;
  return { rows: referrers.length, isLast, ...(last ? { position: last.digest } : {}) };
}
