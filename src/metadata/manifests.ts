/** Manifests, what they need and what refers to them. */
import type { Digest } from "../oci/digest.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import type { TagCondition } from "../oci/tag-condition.ts";
import type { Tag } from "../oci/tag.ts";
import { needBlobs } from "./blobs.ts";
import type { DeleteResult } from "./blobs.ts";
import { bytes, digest, integer, optional, query, repositoryName, text, truth } from "./columns.ts";
import type { Database } from "./database.ts";
import { enqueueAllOf, enqueueManifest } from "./gc-queue.ts";
import { holdOnManifest } from "./holds.ts";
import type { Page } from "./page.ts";
import { writeWithin } from "./quotas.ts";
import type { QuotaProblem } from "./quotas.ts";
import { beginRepository, findRepository, hasManifest } from "./repositories.ts";
import { TAG_IS_LIVE } from "./removed-tags.ts";
import { moveRepository } from "./revisions.ts";
import { any, first, listed, rows, run } from "./sql.ts";
import type { Transaction } from "./sql.ts";
import { conditionHolds, pointTags, removeTagsOf, someTagsOf, targetsOf } from "./tags.ts";

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
  and not exists (select 1 from tag_count c where c.repo = m.repo and c.digest = m.digest)`;

const RENEW = `
  update manifest set touched_at = $3 where digest = $2 and repo = (select id from repo where name = $1)`;

const RECORD = { digest, mediaType: text, size: integer };
const STORED = { ...RECORD, payload: bytes };

const SELECT = `select m.digest, m.media_type, m.size`;

const BY_DIGEST = `from repo r join manifest m on m.repo = r.id where r.name = $1 and m.digest = $2`;

const BY_TAG = `
  from repo r join tag t on t.repo = r.id join manifest m on m.repo = r.id and m.digest = t.digest
  where r.name = $1 and t.name = $2 and ${TAG_IS_LIVE}`;

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
  { repo: integer, digest: optional(text), size: optional(integer) },
  `
  select r.id as repo, b.digest, b.size from repo r
  left join repo_blob l on l.repo = r.id and l.digest in (select value from json_each($2))
  left join blob b on b.digest = l.digest and b.state = 'live'
  where r.name = $1`,
);

const SIZES_OF_MANIFESTS = query(
  { digest: text, size: integer },
  `
  select m.digest, m.size from repo r join manifest m on m.repo = r.id
  where r.name = $1 and m.digest in (select value from json_each($2))`,
);

/** Returns whether some manifests miss this one, or it something, and whether it was here before with referrers. */
const PUT = query(
  { hasMissing: truth, hasOrphans: truth },
  `
  insert into manifest (
    repo, digest, media_type, artifact_type, subject, size, annotations, pushed_at, touched_at, payload, pushed_after)
  values ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9, $10)
  on conflict (repo, digest) do update
  set media_type = excluded.media_type, artifact_type = excluded.artifact_type,
    pushed_at = excluded.pushed_at, touched_at = excluded.touched_at
  returning
    exists (select 1 from manifest_missing x where x.repo = $1 and x.manifest = $2)
      or exists (select 1 from manifest_missing x where x.repo = $1 and x.digest = $2) as has_missing,
    exists (select 1 from former_subject x where x.repo = $1 and x.digest = $2) as has_orphans`,
);

const NEED_CHILDREN = `
  insert into manifest_child (repo, parent, child) select $1, $2, value from json_each($3) where true
  on conflict (repo, parent, child) do nothing`;

const MISS = `
  insert into manifest_missing (repo, manifest, digest) select $1, $2, value from json_each($3) where true
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

const REMOVE = query(
  { subject: optional(text) },
  `delete from manifest where repo = $1 and digest = $2 returning subject`,
);

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
  where r.name = $1 and m.digest in (select value from json_each($2))`,
);

const NEEDING = query(
  { repository: repositoryName, repo: integer, manifest: digest },
  `
  select r.name as repository, e.repo, e.manifest from manifest_blob e join repo r on r.id = e.repo
  where e.blob = $1 and r.name < '~' order by e.repo, e.manifest limit $2`,
);

/** What was found of the things that a manifest needs. Nothing is written before all of it is known. */
interface Findings {
  /** The repository; undefined when nothing was ever written to it. */
  readonly repo: number | undefined;
  readonly blobs: string[];
  readonly missing: string[];
  readonly refused: string[];
  readonly wrongSizes: WrongSize[];
}

function* findNeeded(name: RepositoryName, manifest: NewManifest): Transaction<Findings> {
  const { blobs, children } = manifest;
  const manifests = new Map<string, number>();
  if (children.length > 0) {
    for (const { digest: child, size } of yield* rows(SIZES_OF_MANIFESTS, name, digestsOf(children))) {
      manifests.set(child, size);
    }
  }
  // BuildKit's caches are indexes whose children are layers: a child may be a blob of this repository too.
  const layers = children.filter((child) => !manifests.has(child.digest));
  const sizes = new Map<string, number>();
  const found = yield* rows(SIZES_OF_BLOBS, name, digestsOf([...blobs, ...layers]));
  for (const { digest: blob, size } of found) if (blob !== undefined && size !== undefined) sizes.set(blob, size);

  const findings: Findings = { repo: found[0]?.repo, blobs: [], missing: [], refused: [], wrongSizes: [] };
  for (const needed of blobs) note(needed, sizes.get(needed.digest), findings, findings.blobs);
  for (const needed of children) {
    const size = manifests.get(needed.digest);
    if (size === undefined) note(needed, sizes.get(needed.digest), findings, findings.blobs);
    else note(needed, size, findings);
  }
  return findings;
}

function digestsOf(needed: readonly Needed[]): string {
  return listed(needed.map((each) => each.digest));
}

function note(needed: Needed, actual: number | undefined, findings: Findings, found?: string[]): void {
  if (actual === undefined) {
    (needed.optional ? findings.missing : findings.refused).push(needed.digest);
    return;
  }
  found?.push(needed.digest);
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
  const targets = findings.repo === undefined ? new Map<Tag, Digest>() : yield* targetsOf(findings.repo, tags);
  const [tag] = tags;
  if (tag !== undefined && !conditionHolds(targets.get(tag), manifest.condition)) return { kind: "condition" };
  for (const each of manifest.immutableTags ?? []) {
    if ((targets.get(each) ?? manifest.digest) !== manifest.digest) return { kind: "immutable", tag: each };
  }
  if (findings.refused.length > 0) return { kind: "missing", digests: [...new Set(findings.refused)] };
  const [wrongSize] = findings.wrongSizes;
  if (wrongSize && manifest.exactSizes) return { kind: "size", ...wrongSize };

  const repo = findings.repo ?? (yield* beginRepository(name, now));
  const { mediaType, artifactType = null, subject = null, annotations = null, payload, children } = manifest;
  const formerSubject = subject === null ? undefined : yield* first(FORMER_SUBJECT, repo, subject);
  const pushedAfter = formerSubject?.id ?? null;
  const row = [mediaType, artifactType, subject, payload.length, annotations, now, payload, pushedAfter] as const;
  const put = yield* first(PUT, repo, manifest.digest, ...row);
  if (put?.hasMissing) {
    yield* run(NOTHING_MISSING, repo, manifest.digest);
    yield* run(NOT_MISSING, repo, manifest.digest);
  }
  yield* needBlobs(repo, manifest.digest, findings.blobs);
  if (children.length > 0) yield* run(NEED_CHILDREN, repo, manifest.digest, digestsOf(children));
  if (findings.missing.length > 0) yield* run(MISS, repo, manifest.digest, listed(findings.missing));
  if (put?.hasOrphans) yield* run(ADOPT, repo, manifest.digest);
  yield* pointTags(repo, tags, targets, manifest.digest, now, undoUntil);
  yield* moveRepository(repo);
  // What a tag points at is enqueued when the tag goes.
  if (tags.length === 0) yield* enqueueManifest(repo, manifest.digest, undoUntil);
  return { kind: "stored", missing: findings.missing, wrongSizes: findings.wrongSizes };
}

/** Removes a manifest that is there, with its tags, and enqueues what it needed and what referred to it. */
export function* removeManifest(repo: number, manifest: Digest, now: number, reviewAfter: number): Transaction<void> {
  yield* removeTagsOf(repo, manifest, now);
  // Every blob it needed, whether or not another manifest needs it too: two deletes at once each see the other's edge.
  yield* run(UNREFERENCE_LINKS, repo, manifest, now);
  yield* run(UNREFERENCE_BLOBS, repo, manifest, now);
  yield* enqueueAllOf(repo, manifest, now, reviewAfter);
  yield* run(ORPHAN, repo, manifest, now);
  const removed = yield* first(REMOVE, repo, manifest);
  if (removed?.subject !== undefined) yield* run(FORGET_SUBJECT, repo, removed.subject);
  yield* moveRepository(repo);
  yield* enqueueManifest(repo, manifest, reviewAfter); // it may have been the last thing in its repository
}

export class Manifests {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  find(name: RepositoryName, manifest: Digest): Promise<ManifestRecord | undefined> {
    return this.#database.engine.read(() => first(FIND_BY_DIGEST, name, manifest));
  }

  findByTag(name: RepositoryName, tag: Tag): Promise<ManifestRecord | undefined> {
    return this.#database.engine.read(() => first(FIND_BY_TAG, name, tag));
  }

  /** As `find`, with its bytes. */
  read(name: RepositoryName, manifest: Digest): Promise<StoredManifest | undefined> {
    return this.#database.engine.read(() => first(READ_BY_DIGEST, name, manifest));
  }

  /** As `findByTag`, with its bytes. */
  readByTag(name: RepositoryName, tag: Tag): Promise<StoredManifest | undefined> {
    return this.#database.engine.read(() => first(READ_BY_TAG, name, tag));
  }

  /** In order of the digests. */
  list(name: RepositoryName, { after = "", limit }: Page): Promise<readonly ManifestRecord[]> {
    return this.#database.engine.read(() => rows(LIST, name, after, limit));
  }

  /**
   * Renews the lease of a manifest, because a client is told that it is here, when that was last done before `staleBefore` and
   * no tag holds it anyhow.
   */
  async renewLease(name: RepositoryName, manifest: Digest, staleBefore: number): Promise<void> {
    const { engine, clock } = this.#database;
    if (!(await engine.read(() => any(IS_STALE, name, manifest, staleBefore)))) return;
    await engine.write(() => run(RENEW, name, manifest, clock.now()));
  }

  put(name: RepositoryName, manifest: NewManifest): Promise<PutManifestResult | QuotaProblem> {
    const { clock, periods } = this.#database;
    const addition = { manifest: { digest: manifest.digest, size: manifest.payload.length }, tags: manifest.tags };
    return writeWithin(this.#database, name, addition, () => {
      const now = clock.now();
      return putManifest(name, manifest, now, now + periods.undoMs);
    });
  }

  /** Removes the manifest and every tag that points at it, unless an immutable tag needs it. */
  delete(name: RepositoryName, manifest: Digest, isImmutable?: (tag: Tag) => boolean): Promise<DeleteResult> {
    const { engine, clock, periods } = this.#database;
    return engine.write(function* (): Transaction<DeleteResult> {
      const repo = yield* findRepository(name);
      if (repo === undefined || !(yield* hasManifest(repo, manifest))) return "absent";
      const hold = isImmutable && (yield* holdOnManifest(repo, manifest, isImmutable));
      if (hold !== undefined) return hold;
      const now = clock.now();
      yield* removeManifest(repo, manifest, now, now + periods.graceMs);
      return "done";
    });
  }

  /** Which manifests have `subject` as their subject, and the sizes of their descriptors. */
  referrerSizes(
    name: RepositoryName,
    subject: Digest,
    { after = "", limit, artifactType }: ReferrersQuery,
  ): Promise<readonly ReferrerSize[]> {
    return this.#database.engine.read(() =>
      artifactType === undefined
        ? rows(REFERRER_SIZES, name, subject, after, limit)
        : rows(REFERRER_SIZES_OF_TYPE, name, subject, after, limit, artifactType),
    );
  }

  /** What a list of referrers shows of manifests, in the order of `digests`; those that are not there are left out. */
  async referrers(name: RepositoryName, digests: readonly Digest[]): Promise<readonly ReferrerRecord[]> {
    const found = await this.#database.engine.read(() => rows(REFERRERS, name, JSON.stringify(digests)));
    const byDigest = new Map(found.map((referrer) => [referrer.digest, referrer]));
    return digests.map((each) => byDigest.get(each)).filter((referrer) => referrer !== undefined);
  }

  /** Manifests that need the blob, of the oldest repositories, and tags that point at them, at most `limit` of each. */
  needing(blob: Digest, limit: number): Promise<readonly NeedingManifest[]> {
    return this.#database.engine.read(function* (): Transaction<readonly NeedingManifest[]> {
      const needing: NeedingManifest[] = [];
      for (const { repository, repo, manifest } of yield* rows(NEEDING, blob, limit)) {
        needing.push({ repository, digest: manifest, tags: yield* someTagsOf(repo, manifest, limit) });
      }
      return needing;
    });
  }
}
