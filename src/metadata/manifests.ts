/** Manifests, what they need and what refers to them. */
import type { Digest } from "../oci/digest.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import type { TagCondition } from "../oci/tag-condition.ts";
import type { Tag } from "../oci/tag.ts";
import { needBlobs } from "./blobs.ts";
import { record } from "./changes.ts";
import type { Cause, Change } from "./changes.ts";
import type { DeleteResult } from "./blobs.ts";
import { bytes, digest, integer, optional, query, repositoryName, text, truth } from "./columns.ts";
import type { Database } from "./database.ts";
import { digestBytes, listedDigests } from "./digest-bytes.ts";
import { enqueueAllOf, enqueueRepository } from "./gc-queue.ts";
import type { ManifestKey } from "./gc-queue.ts";
import { holdOnManifest } from "./holds.ts";
import type { Page } from "./page.ts";
import { writeWithin } from "./quotas.ts";
import type { QuotaProblem } from "./quotas.ts";
import { beginRepository, findManifest, findRepository } from "./repositories.ts";
import { moveRepository } from "./revisions.ts";
import { keepManifests, lockManifests } from "./locks.ts";
import { any, batch, bound, first, listedIds, locked, rows, rowsOf, rowsOfBoth, run, statement } from "./sql.ts";
import type { BoundQuery, Transaction } from "./sql.ts";
import { conditionHolds, pointTags, removeTagsOf, tagsOf, targetsOf, targetsQuery } from "./tags.ts";
import type { TagTargets } from "./tags.ts";

export interface ManifestRecord {
  readonly digest: Digest;
  readonly mediaType: string;
  /** Bytes. */
  readonly size: number;
}

export interface StoredManifest extends ManifestRecord {
  readonly payload: Uint8Array;
}

/** What the referrers list shows of a manifest. */
export interface ReferrerRecord extends ManifestRecord {
  readonly artifactType: string | undefined;
  /** A JSON object's text. */
  readonly annotations: string | undefined;
}

/** A referrer and about how many bytes its descriptor takes in JSON. */
export interface ReferrerSize {
  readonly digest: Digest;
  readonly bytes: number;
}

/** A page of referrers, in order of their digests. */
export interface ReferrersQuery extends Page {
  /** Undefined for all types; empty for referrers without a type. */
  readonly artifactType?: string | undefined;
}

/** A reference inside a manifest. Its digest may be of an algorithm that we do not compute. */
export interface Needed {
  readonly digest: string;
  /** What the manifest says it has; undefined when it says nothing. */
  readonly size: number | undefined;
  /** Whether the manifest may be stored when this is not here. */
  readonly optional: boolean;
  /** Where in the manifest it is named, for messages. */
  readonly path: string;
}

/** Content that has another size than a manifest says. */
export interface WrongSize {
  readonly path: string;
  readonly said: number;
  readonly actual: number;
}

export interface NewManifest {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly artifactType: string | undefined;
  readonly subject: string | undefined;
  readonly annotations: string | undefined;
  readonly payload: Uint8Array;
  readonly blobs: readonly Needed[];
  readonly children: readonly Needed[];
  /** Whether content of another size than the manifest says keeps it out; false when absent. */
  readonly exactSizes?: boolean;
  readonly tags: readonly Tag[];
  /** Checked against the one tag, when there is one. */
  readonly condition: TagCondition | undefined;
  /** Those of `tags` that stay where they are, once they are there. */
  readonly immutableTags?: readonly Tag[];
}

export type PutManifestResult =
  /** … what it names and is not here, and what is here in another size than it says. */
  | { readonly kind: "stored"; readonly missing: readonly string[]; readonly wrongSizes: readonly WrongSize[] }
  /** Needed content that this repository does not have. */
  | { readonly kind: "missing"; readonly digests: readonly string[] }
  /** The manifest says another size than the content has, where sizes have to be exact. */
  | ({ readonly kind: "size" } & WrongSize)
  | { readonly kind: "condition" }
  /** An immutable tag points at another manifest. */
  | { readonly kind: "immutable"; readonly tag: Tag };

export interface NeedingManifest {
  readonly repository: RepositoryName;
  readonly digest: Digest;
  readonly tags: readonly Tag[];
}

const IS_STALE = `
  select 1 as found from repo r join manifest m on m.repo = r.id
  where r.name = $1 and m.digest = $2 and m.touched_at < $3
  and not exists (select 1 from tag_count c where c.manifest = m.id)`;

const RENEW = `
  update manifest set touched_at = $3 where digest = $2 and repo = (select id from repo where name = $1)`;

const RECORD = { digest, mediaType: text, size: integer };
const STORED = { ...RECORD, payload: bytes };

const SELECT = `select m.digest, m.media_type, m.size`;

const BY_DIGEST = `from repo r join manifest m on m.repo = r.id where r.name = $1 and m.digest = $2`;

const BY_TAG = `
  from repo r join tag t on t.repo = r.id join manifest m on m.id = t.manifest
  where r.name = $1 and t.name = $2`;

const FIND_BY_DIGEST = query(RECORD, `${SELECT} ${BY_DIGEST}`);
const FIND_BY_TAG = query(RECORD, `${SELECT} ${BY_TAG}`);
const READ_BY_DIGEST = query(STORED, `${SELECT}, m.payload ${BY_DIGEST}`);
const READ_BY_TAG = query(STORED, `${SELECT}, m.payload ${BY_TAG}`);

const LIST = query(
  RECORD,
  `
  ${SELECT} from repo r join manifest m on m.repo = r.id
  where r.name = $1 and m.digest > $2 order by m.digest limit $3`,
);

/** One row at the least for a repository that there is. */
const SIZES_OF_BLOBS = query(
  { repo: integer, blob: optional(integer), digest: optional(digest), size: optional(integer) },
  `
  select r.id as repo, b.id as blob, b.digest, b.size from repo r
  left join blob b on b.digest in (select unhex(value) from json_each($2)) and b.state = 'live'
    and exists (select 1 from repo_blob l where l.repo = r.id and l.blob = b.id)
  where r.name = $1`,
);

const SIZES_OF_MANIFESTS = query(
  { digest, size: integer },
  `
  select m.digest, m.size from repo r join manifest m on m.repo = r.id
  where r.name = $1 and m.digest in (select unhex(value) from json_each($2))`,
);

/** Returns whether some manifests miss this one, or it something, and whether it was here before with referrers. */
const PUT = query(
  { id: integer, hasMissing: truth, hasOrphans: truth },
  `
  insert into manifest (
    repo, digest, media_type, artifact_type, subject, size, annotations, pushed_at, touched_at, payload, pushed_after,
    review_after)
  values ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9, $10, $11)
  on conflict (repo, digest) do update
  set media_type = excluded.media_type, artifact_type = excluded.artifact_type, pushed_at = excluded.pushed_at,
    touched_at = excluded.touched_at, review_after = coalesce(excluded.review_after, manifest.review_after)
  returning id,
    exists (select 1 from manifest_missing x where x.manifest = manifest.id)
      or exists (select 1 from manifest_missing x where x.repo = $1 and x.digest = $2) as has_missing,
    exists (select 1 from former_subject x where x.repo = $1 and x.digest = $2) as has_orphans`,
);

const NEED_CHILDREN = `
  insert into manifest_child (parent, child, repo) select $2, unhex(value), $1 from json_each($3) where true
  on conflict (parent, child) do nothing`;

const MISS = `
  insert into manifest_missing (manifest, digest, repo) select $2, unhex(value), $1 from json_each($3) where true
  on conflict (manifest, digest) do nothing`;

const NOTHING_MISSING = `delete from manifest_missing where manifest = $1`;
const NOT_MISSING = `delete from manifest_missing where repo = $1 and digest = $2`;

// One row for all referrers, however many there are: they are orphans as long as it is there.
const ORPHAN = `
  insert into former_subject (repo, digest, deleted_at)
  select $1, $2, $3 where exists (select 1 from manifest where repo = $1 and subject = $2)
  on conflict (repo, digest) do update set deleted_at = excluded.deleted_at`;

const FORMER_SUBJECT = query({ id: integer }, `select id from former_subject where repo = $1 and digest = $2`);

const ADOPT = `delete from former_subject where repo = $1 and digest = $2`;

const FORGET_SUBJECT = `
  delete from former_subject where repo = $1 and digest = $2
  and not exists (select 1 from manifest where repo = $1 and subject = $2)`;

/** What garbage collection keeps a manifest for: a tag, or a pin or an index. */
const HELD = query(
  { isTagged: truth, isNeeded: truth },
  `
  select exists (select 1 from tag_count t where t.manifest = m.id) as is_tagged,
    (exists (select 1 from pin p where p.manifest = m.id)
      or exists (select 1 from manifest_child c where c.repo = m.repo and c.child = m.digest)) as is_needed
  from manifest m where m.id = $1`,
);

const REMOVE = query({ subject: optional(bytes) }, `delete from manifest where id = $1 returning subject`);

// About what a descriptor takes in JSON: digest, names of the fields, types; and its annotations.
const REFERRER_BYTES = `400 + coalesce(octet_length(m.artifact_type), 0) + coalesce(octet_length(m.annotations), 0) as bytes`;

const REFERRER_SIZES = query(
  { digest, bytes: integer },
  `
  select m.digest, ${REFERRER_BYTES} from repo r join manifest m on m.repo = r.id
  where r.name = $1 and m.subject = $2 and m.digest > $3 order by m.digest limit $4`,
);

const REFERRER_SIZES_OF_TYPE = query(
  { digest, bytes: integer },
  `
  select m.digest, ${REFERRER_BYTES} from repo r join manifest m on m.repo = r.id
  where r.name = $1 and m.subject = $2 and coalesce(m.artifact_type, '') = $5 and m.digest > $3
  order by m.digest limit $4`,
);

const REFERRERS = query(
  { ...RECORD, artifactType: optional(text), annotations: optional(text) },
  `
  select m.digest, m.media_type, m.size, m.artifact_type, m.annotations from repo r join manifest m on m.repo = r.id
  where r.name = $1 and m.digest in (select unhex(value) from json_each($2))`,
);

const NEEDING = query(
  { repository: repositoryName, manifest: integer, digest },
  `
  select r.name as repository, e.manifest, m.digest from blob b join manifest_blob e on e.blob = b.id
  join repo r on r.id = e.repo join manifest m on m.id = e.manifest
  where b.digest = $1 and r.name < '~' order by e.repo, e.manifest limit $2`,
);

/** A blob that a repository shows. */
interface FoundBlob {
  readonly id: number;
  readonly size: number;
}

/** What was found of the things that a manifest needs. Nothing is written before all of it is known. */
interface Findings {
  /** The repository; undefined when nothing was ever written to it. */
  readonly repo: number | undefined;
  /** The ids of blobs. */
  readonly blobs: number[];
  readonly missing: string[];
  readonly refused: string[];
  readonly wrongSizes: WrongSize[];
  /** What the tags point at. */
  readonly targets: TagTargets;
}

function* findNeeded(name: RepositoryName, manifest: NewManifest): Transaction<Findings> {
  const { blobs, children, tags } = manifest;
  const manifests = new Map<string, number>();
  if (children.length > 0) {
    for (const { digest: child, size } of yield* rowsOf(sizesOfManifests(name, digestsOf(children)))) {
      manifests.set(child, size);
    }
  }
  // BuildKit's caches are indexes whose children are layers: a child may be a blob of this repository too.
  const layers = children.filter((child) => !manifests.has(child.digest));
  const [found, tagged] = yield* rowsOfBoth(
    bound(SIZES_OF_BLOBS, name, digestsOf([...blobs, ...layers])),
    targetsQuery(name, tags),
  );
  const blobsHere = new Map<string, FoundBlob>();
  for (const { blob: id, digest: here, size } of found) {
    if (id !== undefined && here !== undefined && size !== undefined) blobsHere.set(here, { id, size });
  }

  const targets = targetsOf(tagged);
  const findings: Findings = { repo: found[0]?.repo, blobs: [], missing: [], refused: [], wrongSizes: [], targets };
  for (const needed of blobs) noteBlob(needed, blobsHere.get(needed.digest), findings);
  for (const needed of children) {
    const size = manifests.get(needed.digest);
    if (size === undefined) noteBlob(needed, blobsHere.get(needed.digest), findings);
    else noteSize(needed, size, findings);
  }
  return findings;
}

/** An index keeps its children from being deleted meanwhile. */
function sizesOfManifests(
  name: RepositoryName,
  digests: string,
): BoundQuery<ReturnType<typeof SIZES_OF_MANIFESTS.decode>> {
  return locked([keepManifests(name, digests)], bound(SIZES_OF_MANIFESTS, name, digests));
}

function digestsOf(needed: readonly Needed[]): string {
  return listedDigests(needed.map((each) => each.digest));
}

function noteBlob(needed: Needed, found: FoundBlob | undefined, findings: Findings): void {
  if (found === undefined) {
    (needed.optional ? findings.missing : findings.refused).push(needed.digest);
    return;
  }
  findings.blobs.push(found.id);
  noteSize(needed, found.size, findings);
}

function noteSize(needed: Needed, actual: number, findings: Findings): void {
  if (needed.size !== undefined && needed.size !== actual) {
    findings.wrongSizes.push({ path: needed.path, said: needed.size, actual });
  }
}

function* putManifest(
  name: RepositoryName,
  manifest: NewManifest,
  now: number,
  undoUntil: number,
): Transaction<PutManifestResult> {
  const findings = yield* findNeeded(name, manifest);
  const { tags } = manifest;
  const { targets } = findings;
  const [tag] = tags;
  if (tag !== undefined && !conditionHolds(targets.live.get(tag)?.digest, manifest.condition)) {
    return { kind: "condition" };
  }
  for (const each of manifest.immutableTags ?? []) {
    if ((targets.live.get(each)?.digest ?? manifest.digest) !== manifest.digest)
      return { kind: "immutable", tag: each };
  }
  if (findings.refused.length > 0) return { kind: "missing", digests: [...new Set(findings.refused)] };
  const [wrongSize] = findings.wrongSizes;
  if (wrongSize && manifest.exactSizes) return { kind: "size", ...wrongSize };

  const repo = findings.repo ?? (yield* beginRepository(name, now));
  const { mediaType, artifactType = null, annotations = null, payload, children } = manifest;
  const subject = manifest.subject === undefined ? null : digestBytes(manifest.subject);
  const formerSubject = subject === null ? undefined : yield* first(FORMER_SUBJECT, repo, subject);
  // What a tag points at is enqueued when the tag goes.
  const reviewAfter = tags.length === 0 ? undoUntil : null;
  const row = [mediaType, artifactType, subject, payload.length, annotations, now, payload] as const;
  const named = digestBytes(manifest.digest);
  const put = yield* first(PUT, repo, named, ...row, formerSubject?.id ?? null, reviewAfter);
  if (!put) throw new Error(`the manifest ${manifest.digest} was not recorded`);
  const { id } = put;
  const { blobs, missing } = findings;
  yield* batch(
    ...(put.hasMissing ? [statement(NOTHING_MISSING, id), statement(NOT_MISSING, repo, named)] : []),
    ...(blobs.length > 0 ? [needBlobs(repo, id, blobs)] : []),
    ...(children.length > 0 ? [statement(NEED_CHILDREN, repo, id, digestsOf(children))] : []),
    ...(missing.length > 0 ? [statement(MISS, repo, id, listedDigests(missing))] : []),
    ...(put.hasOrphans ? [statement(ADOPT, repo, named)] : []),
    ...pointTags({ repo, id }, tags, targets, now, undoUntil),
  );
  yield* moveRepository(repo);
  return { kind: "stored", missing, wrongSizes: findings.wrongSizes };
}

function pushOf(repository: RepositoryName, { digest: pushed, mediaType, payload, tags }: NewManifest): Change {
  const size = payload.length;
  return { action: "push", object: "manifest", repository, digest: pushed, mediaType, size, tags, payload };
}

/**
 * Removes a manifest that is there, with its tags, and enqueues what it needed and what referred to it. Returns its tags, none
 * when a job removes them.
 */
export function* removeManifest(manifest: ManifestKey, now: number, reviewAfter: number): Transaction<readonly Tag[]> {
  const { repo, id } = manifest;
  const tags = yield* removeTagsOf(manifest, now);
  yield* enqueueAllOf(manifest, now, reviewAfter);
  yield* run(ORPHAN, repo, digestBytes(manifest.digest), now);
  const removed = yield* first(REMOVE, id);
  if (removed?.subject !== undefined) yield* run(FORGET_SUBJECT, repo, removed.subject);
  yield* moveRepository(repo);
  return tags;
}

export class Manifests {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  find(name: RepositoryName, manifest: Digest): Promise<ManifestRecord | undefined> {
    return this.#database.engine.read(() => first(FIND_BY_DIGEST, name, digestBytes(manifest)));
  }

  findByTag(name: RepositoryName, tag: Tag): Promise<ManifestRecord | undefined> {
    return this.#database.engine.read(() => first(FIND_BY_TAG, name, tag));
  }

  /** As `find`, with its bytes. */
  read(name: RepositoryName, manifest: Digest): Promise<StoredManifest | undefined> {
    return this.#database.engine.read(() => first(READ_BY_DIGEST, name, digestBytes(manifest)));
  }

  /** As `findByTag`, with its bytes. */
  readByTag(name: RepositoryName, tag: Tag): Promise<StoredManifest | undefined> {
    return this.#database.engine.read(() => first(READ_BY_TAG, name, tag));
  }

  /** In order of the digests. */
  list(name: RepositoryName, { after = "", limit }: Page): Promise<readonly ManifestRecord[]> {
    return this.#database.engine.read(() => rows(LIST, name, digestBytes(after), limit));
  }

  /**
   * Renews the lease of a manifest, because a client is told that it is here, when that was last done before `staleBefore` and
   * no tag holds it anyhow.
   */
  async renewLease(name: RepositoryName, manifest: Digest, staleBefore: number): Promise<void> {
    const { engine, clock } = this.#database;
    const named = digestBytes(manifest);
    if (!(await engine.read(() => any(IS_STALE, name, named, staleBefore)))) return;
    await engine.write(() => run(RENEW, name, named, clock.now()));
  }

  put(name: RepositoryName, manifest: NewManifest, cause?: Cause): Promise<PutManifestResult | QuotaProblem> {
    const { clock, periods, recorder } = this.#database;
    const addition = { manifest: { digest: manifest.digest, size: manifest.payload.length }, tags: manifest.tags };
    return writeWithin(this.#database, name, addition, function* (): Transaction<PutManifestResult> {
      const now = clock.now();
      const result = yield* putManifest(name, manifest, now, now + periods.undoMs);
      if (result.kind === "stored") yield* record(recorder, cause, now, pushOf(name, manifest));
      return result;
    });
  }

  /**
   * Removes the manifest and every tag that points at it, unless an immutable tag needs it: one that matches a pattern, such as
   * `v*`. With `unlessHeld` it stays when any tag points at it, and when an index lists it or it is pinned.
   */
  delete(
    name: RepositoryName,
    manifest: Digest,
    immutableTags: readonly string[] = [],
    cause?: Cause,
    { unlessHeld = false }: { readonly unlessHeld?: boolean } = {},
  ): Promise<DeleteResult | "tagged" | "needed"> {
    const { engine, clock, periods, recorder } = this.#database;
    return engine.write(function* (): Transaction<DeleteResult | "tagged" | "needed"> {
      const repo = yield* findRepository(name);
      const id = repo === undefined ? undefined : yield* findManifest(repo, manifest);
      if (repo === undefined || id === undefined) return "absent";
      if (unlessHeld) {
        const [held] = yield* rowsOf(locked([lockManifests(listedIds([id]))], bound(HELD, id)));
        if (!held) return "absent"; // deleted while this waited for it
        if (held.isTagged) return "tagged";
        if (held.isNeeded) return "needed";
      }
      const hold = yield* holdOnManifest(repo, id, immutableTags);
      if (hold !== undefined) return hold;
      const now = clock.now();
      const reviewAfter = now + periods.graceMs;
      const tags = yield* removeManifest({ repo, id, digest: manifest }, now, reviewAfter);
      yield* batch(enqueueRepository(repo, reviewAfter));
      yield* record(
        recorder,
        cause,
        now,
        { action: "delete", object: "manifest", repository: name, digest: manifest },
        ...(tags.length > 0 ? [{ action: "delete", object: "tag", repository: name, tags } as const] : []),
      );
      return "done";
    });
  }

  /** Which manifests have `subject` as their subject, and the sizes of their descriptors. */
  referrerSizes(
    name: RepositoryName,
    subject: Digest,
    { after = "", limit, artifactType }: ReferrersQuery,
  ): Promise<readonly ReferrerSize[]> {
    const values = [name, digestBytes(subject), digestBytes(after), limit] as const;
    return this.#database.engine.read(() =>
      artifactType === undefined
        ? rows(REFERRER_SIZES, ...values)
        : rows(REFERRER_SIZES_OF_TYPE, ...values, artifactType),
    );
  }

  /** What a list of referrers shows of manifests, in the order of `digests`; those that are not there are left out. */
  async referrers(name: RepositoryName, digests: readonly Digest[]): Promise<readonly ReferrerRecord[]> {
    const found = await this.#database.engine.read(() => rows(REFERRERS, name, listedDigests(digests)));
    const byDigest = new Map(found.map((referrer) => [referrer.digest, referrer]));
    return digests.map((each) => byDigest.get(each)).filter((referrer) => referrer !== undefined);
  }

  /** Manifests that need the blob, of the oldest repositories, and tags that point at them, at most `limit` of each. */
  needing(blob: Digest, limit: number): Promise<readonly NeedingManifest[]> {
    return this.#database.engine.read(function* (): Transaction<readonly NeedingManifest[]> {
      const needing: NeedingManifest[] = [];
      for (const { repository, manifest, digest: named } of yield* rows(NEEDING, digestBytes(blob), limit)) {
        needing.push({ repository, digest: named, tags: (yield* tagsOf(manifest, { limit })).tags });
      }
      return needing;
    });
  }
}
