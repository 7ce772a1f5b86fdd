/** Statements about manifests, what they need and what refers to them. */
import type { Digest } from "../oci/digest.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import type { Tag } from "../oci/tag.ts";
import { needBlob } from "./blobs.ts";
import { holdOnManifest } from "./holds.ts";
import type {
  DeleteResult,
  ManifestFacts,
  Needed,
  NewManifest,
  Page,
  PutManifestResult,
  ReferrerFacts,
  StoredManifest,
  WrongSize,
} from "./metadata-store.ts";
import { beginRepository, findRepository } from "./repositories.ts";
import { moveRepository } from "./revisions.ts";
import { first, rows } from "./sql.ts";
import type { Transaction } from "./sql.ts";
import { conditionHolds, pointTag, pointsElsewhere, removeTagsOf } from "./tags.ts";
import { reviewBlob, reviewManifest } from "./trash.ts";

const IS_STALE = `
  select 1 as found from repo r join manifest m on m.repo = r.id
  where r.name = $1 and m.digest = $2 and m.touched_at < $3
  and not exists (select 1 from tag t where t.repo = m.repo and t.digest = m.digest)`;

const TOUCH = `
  update manifest set touched_at = $3 where digest = $2 and repo = (select id from repo where name = $1)`;

const FACTS = `m.digest, m.media_type, m.size`;

const BY_DIGEST = `from repo r join manifest m on m.repo = r.id where r.name = $1 and m.digest = $2`;

const BY_TAG = `
  from repo r join tag t on t.repo = r.id join manifest m on m.repo = r.id and m.digest = t.digest
  where r.name = $1 and t.name = $2`;

const FIND_BY_DIGEST = `select ${FACTS} ${BY_DIGEST}`;
const FIND_BY_TAG = `select ${FACTS} ${BY_TAG}`;
const READ_BY_DIGEST = `select ${FACTS}, m.payload ${BY_DIGEST}`;
const READ_BY_TAG = `select ${FACTS}, m.payload ${BY_TAG}`;

const LIST = `
  select ${FACTS} from repo r join manifest m on m.repo = r.id
  where r.name = $1 and m.digest > $2 order by m.digest limit $3`;

const BLOB_SIZE = `
  select b.size from repo_blob l join blob b on b.digest = l.digest
  where l.repo = $1 and l.digest = $2 and b.state = 'live'`;

const MANIFEST_SIZE = `select size from manifest where repo = $1 and digest = $2`;

const PUT = `
  insert into manifest (repo, digest, media_type, artifact_type, subject, size, config_digest, annotations,
    pushed_at, touched_at, unref_at, payload)
  values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $9, $10)
  on conflict (repo, digest) do update
  set media_type = excluded.media_type, artifact_type = excluded.artifact_type,
    pushed_at = excluded.pushed_at, touched_at = excluded.touched_at`;

const NEED_CHILD = `
  insert into manifest_child (repo, parent, child) values ($1, $2, $3) on conflict (repo, parent, child) do nothing`;

const MISS = `
  insert into manifest_missing (repo, manifest, digest) values ($1, $2, $3)
  on conflict (repo, manifest, digest) do nothing`;

const NOTHING_MISSING = `delete from manifest_missing where repo = $1 and manifest = $2`;
const NOT_MISSING = `delete from manifest_missing where repo = $1 and digest = $2`;

// A client that was told "exists" of a needed blob was promised a lease, and nothing was written for it then: so the
// lease begins when the need ends.
const UNREFERENCE_LINKS = `
  update repo_blob set touched_at = $3, unref_at = $3
  where repo = $1 and digest in (select blob from manifest_blob where repo = $1 and manifest = $2)`;

const UNREFERENCE_BLOBS = `
  update blob set touched_at = $3, unref_at = $3
  where digest in (select blob from manifest_blob where repo = $1 and manifest = $2)`;

const NEEDED_BLOBS = `select blob from manifest_blob where repo = $1 and manifest = $2 order by blob`;

const DEPENDENTS = `
  select child as digest from manifest_child where repo = $1 and parent = $2
  union select digest from manifest where repo = $1 and subject = $2`;

const ORPHAN = `update manifest set orphaned_at = $3 where repo = $1 and subject = $2`;
const ADOPT = `update manifest set orphaned_at = null where repo = $1 and subject = $2 and orphaned_at is not null`;

const REMOVE = `delete from manifest where repo = $1 and digest = $2`;

const REFERRER_SIZES = `
  select digest, artifact_type, coalesce(octet_length(annotations), 0) as annotation_bytes from manifest
  where repo = $1 and subject = $2 and digest > $3 order by digest limit $4`;

const REFERRER = `
  select digest, media_type, size, artifact_type, annotations from manifest where repo = $1 and digest = $2`;

/** About what a descriptor takes in JSON without its annotations: digest, names of the fields, types. */
const DESCRIPTOR_BYTES = 400;
const REFERRERS_AT_ONCE = 10_000;

interface FactsRow {
  readonly digest: Digest;
  readonly media_type: string;
  readonly size: number;
}

function facts(row: FactsRow): ManifestFacts {
  return { digest: row.digest, mediaType: row.media_type, size: row.size };
}

export function* findManifest(name: RepositoryName, digest: Digest): Transaction<ManifestFacts | undefined> {
  const row = yield* first<FactsRow>(FIND_BY_DIGEST, name, digest);
  return row && facts(row);
}

/** Whether nobody was promised since `staleBefore` that the manifest stays, and no tag holds it. */
export function* isStale(name: RepositoryName, digest: Digest, staleBefore: number): Transaction<boolean> {
  return (yield* first(IS_STALE, name, digest, staleBefore)) !== undefined;
}

export function* touchManifest(name: RepositoryName, digest: Digest, now: number): Transaction<void> {
  yield* rows(TOUCH, name, digest, now);
}

export function* findManifestByTag(name: RepositoryName, tag: Tag): Transaction<ManifestFacts | undefined> {
  const row = yield* first<FactsRow>(FIND_BY_TAG, name, tag);
  return row && facts(row);
}

export function* readManifest(name: RepositoryName, digest: Digest): Transaction<StoredManifest | undefined> {
  const row = yield* first<FactsRow & { payload: Uint8Array }>(READ_BY_DIGEST, name, digest);
  return row && { ...facts(row), payload: row.payload };
}

export function* readManifestByTag(name: RepositoryName, tag: Tag): Transaction<StoredManifest | undefined> {
  const row = yield* first<FactsRow & { payload: Uint8Array }>(READ_BY_TAG, name, tag);
  return row && { ...facts(row), payload: row.payload };
}

export function* listManifests(name: RepositoryName, page: Page): Transaction<readonly ManifestFacts[]> {
  return (yield* rows<FactsRow>(LIST, name, page.after ?? "", page.limit)).map(facts);
}

/** What was found of the things that a manifest needs. Nothing is written before all of it is known. */
interface Findings {
  readonly blobs: string[];
  readonly missing: string[];
  readonly refused: string[];
  readonly wrongSizes: WrongSize[];
}

export function* putManifest(
  name: RepositoryName,
  manifest: NewManifest,
  now: number,
  undoUntil: number,
): Transaction<PutManifestResult> {
  const known = yield* findRepository(name);
  const [tag] = manifest.tags;
  if (tag !== undefined && !(yield* conditionHolds(known ?? -1, tag, manifest.condition))) return { kind: "condition" };

  for (const each of manifest.fixedTags ?? []) {
    if (known !== undefined && (yield* pointsElsewhere(known, each, manifest.digest)))
      return { kind: "fixed", tag: each };
  }

  const findings: Findings = { blobs: [], missing: [], refused: [], wrongSizes: [] };
  for (const needed of manifest.blobs) yield* lookFor(known, needed, BLOB_SIZE, findings.blobs, findings);
  for (const needed of manifest.children) {
    // BuildKit's caches are indexes whose children are layers: a child may be a blob of this repository too.
    const asManifest = known === undefined ? undefined : yield* first(MANIFEST_SIZE, known, needed.digest);
    const [sizes, found] = asManifest ? [MANIFEST_SIZE, undefined] : [BLOB_SIZE, findings.blobs];
    yield* lookFor(known, needed, sizes, found, findings);
  }
  if (findings.refused.length > 0) return { kind: "missing", digests: [...new Set(findings.refused)] };
  const [wrongSize] = findings.wrongSizes;
  if (wrongSize && manifest.exactSizes) return { kind: "size", ...wrongSize };

  const repo = known ?? (yield* beginRepository(name, now));
  const { digest } = manifest;
  yield* rows(
    PUT,
    repo,
    digest,
    manifest.mediaType,
    manifest.artifactType ?? null,
    manifest.subject ?? null,
    manifest.payload.length,
    manifest.configDigest ?? null,
    manifest.annotations ?? null,
    now,
    manifest.payload,
  );
  yield* rows(NOTHING_MISSING, repo, digest);
  for (const blob of findings.blobs) yield* needBlob(repo, digest, blob);
  for (const child of manifest.children) yield* rows(NEED_CHILD, repo, digest, child.digest);
  for (const missing of findings.missing) yield* rows(MISS, repo, digest, missing);
  yield* rows(NOT_MISSING, repo, digest);
  yield* rows(ADOPT, repo, digest);
  for (const each of manifest.tags) yield* pointTag(repo, each, digest, now, undoUntil);
  yield* moveRepository(repo);
  // What a tag points at is looked at when the tag goes.
  if (manifest.tags.length === 0) yield* reviewManifest(repo, digest, undoUntil);
  return { kind: "stored", missing: findings.missing, wrongSizes: findings.wrongSizes };
}

function* lookFor(
  repo: number | undefined,
  needed: Needed,
  sizeOf: string,
  found: string[] | undefined,
  findings: Findings,
): Transaction<void> {
  const row = repo === undefined ? undefined : yield* first<{ size: number }>(sizeOf, repo, needed.digest);
  if (!row) {
    (needed.optional ? findings.missing : findings.refused).push(needed.digest);
    return;
  }
  found?.push(needed.digest);
  if (needed.size !== undefined && needed.size !== row.size) {
    findings.wrongSizes.push({ path: needed.path, said: needed.size, actual: row.size });
  }
}

export function* deleteManifest(
  name: RepositoryName,
  digest: Digest,
  isFixed: ((tag: Tag) => boolean) | undefined,
  now: number,
  reviewAfter: number,
): Transaction<DeleteResult> {
  const repo = yield* findRepository(name);
  if (repo === undefined || !(yield* first(MANIFEST_SIZE, repo, digest))) return "absent";
  const hold = isFixed && (yield* holdOnManifest(repo, digest, isFixed));
  if (hold !== undefined) return hold;
  yield* removeManifest(repo, digest, now, reviewAfter);
  return "done";
}

/** Removes a manifest that is there, with its tags; what it needed, and what referred to it, is looked at later. */
export function* removeManifest(repo: number, digest: Digest, now: number, reviewAfter: number): Transaction<void> {
  yield* removeTagsOf(repo, digest, now);
  // Every blob it needed, whether or not another manifest needs it too: two deletes at once each see the other's edge.
  yield* rows(UNREFERENCE_LINKS, repo, digest, now);
  yield* rows(UNREFERENCE_BLOBS, repo, digest, now);
  for (const { blob } of yield* rows<{ blob: string }>(NEEDED_BLOBS, repo, digest)) {
    yield* reviewBlob(repo, blob, reviewAfter);
  }
  for (const dependent of yield* rows<{ digest: string }>(DEPENDENTS, repo, digest)) {
    yield* reviewManifest(repo, dependent.digest, reviewAfter);
  }
  yield* rows(ORPHAN, repo, digest, now);
  yield* rows(REMOVE, repo, digest);
  yield* moveRepository(repo);
  yield* reviewManifest(repo, digest, reviewAfter); // it may have been the last thing in its repository
}

export function* listReferrers(
  name: RepositoryName,
  subject: Digest,
  filter: { readonly after?: string; readonly artifactTypes?: readonly string[]; readonly maxBytes: number },
): Transaction<{ readonly referrers: readonly ReferrerFacts[]; readonly more: boolean }> {
  const repo = yield* findRepository(name);
  const referrers: ReferrerFacts[] = [];
  if (repo === undefined) return { referrers, more: false };
  const wanted = filter.artifactTypes && new Set(filter.artifactTypes); // a request may name thousands
  let bytes = 0;
  let after: string = filter.after ?? "";
  for (;;) {
    // Sizes first: the annotations of a page can be as large as a page, those of all candidates without bound.
    const candidates = yield* rows<{ digest: Digest; artifact_type: string | null; annotation_bytes: number }>(
      REFERRER_SIZES,
      repo,
      subject,
      after,
      REFERRERS_AT_ONCE,
    );
    for (const candidate of candidates) {
      if (wanted && !wanted.has(candidate.artifact_type ?? "")) continue;
      bytes += DESCRIPTOR_BYTES + (candidate.artifact_type?.length ?? 0) + candidate.annotation_bytes;
      if (bytes > filter.maxBytes && referrers.length > 0) return { referrers, more: true };
      const row = yield* first<FactsRow & { artifact_type: string | null; annotations: string | null }>(
        REFERRER,
        repo,
        candidate.digest,
      );
      if (!row) continue;
      referrers.push({
        ...facts(row),
        artifactType: row.artifact_type ?? undefined,
        annotations: row.annotations ?? undefined,
      });
    }
    const last = candidates.at(-1);
    if (!last || candidates.length < REFERRERS_AT_ONCE) return { referrers, more: false };
    after = last.digest;
  }
}
