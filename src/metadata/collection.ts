/**
 * Statements of collection: what nothing holds any more goes, while pushes and pulls go on.
 *
 *   an event that may take a last reference (an upload that no manifest ever needed, a deleted manifest, a moved tag)
 *     → an entry of gc_queue, to be looked at when lease and grace are over
 *   looking at an entry, in one transaction:
 *     link     DELETE … WHERE lease and grace are over AND no manifest of the repository needs the blob
 *     blob     DELETE … WHERE lease and grace are over AND no repository shows it AND no manifest needs it;
 *              its storage key → trash, in the same transaction
 *     manifest no tag, pin, index or subject that is here, no time that holds it → delete it as a client would
 *     still held by a reference → the entry goes: losing that reference will make another
 *     still held by time → the entry waits for the end of that time
 *   later: bytes of the trash are unlinked, then its rows go
 *
 * That a needed blob stays does not rest on these conditions: the RESTRICT key of manifest_blob refuses its deletion.
 */
import type { Digest } from "../oci/digest.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import { READERS_MS } from "./blobs.ts";
import { BACKUP_LEASE } from "./leases.ts";
import { removeManifest } from "./manifests.ts";
import type { Backlog, Collectable, CollectionRules, CollectionStep, QueuePosition } from "./metadata-store.ts";
import { forgetIfEmpty } from "./repositories.ts";
import { moveRepository } from "./revisions.ts";
import { first, rows } from "./sql.ts";
import type { Transaction } from "./sql.ts";
import { discard, reviewBytes, reviewManifest } from "./trash.ts";

const DUE = `select kind, repo, digest from gc_queue where review_after <= $1 order by review_after limit $2`;

const NEXT = `
  select kind, repo, digest from gc_queue where (kind, repo, digest) > ($1, $2, $3)
  order by kind, repo, digest limit $4`;

const LEAVE_QUEUE = `delete from gc_queue where kind = $1 and repo = $2 and digest = $3`;

const WAIT = `update gc_queue set review_after = $4 where kind = $1 and repo = $2 and digest = $3`;

const BACKLOG = `
  select (select count(*) from gc_queue) as entries, (select min(review_after) from gc_queue) as review,
    (select count(*) from trash) as files, (select min(after) from trash) as unlink,
    exists (select 1 from lease where name = '${BACKUP_LEASE}' and until > $1) as held`;

const LINK_IS_FREE = `
  repo = $1 and digest = $2 and touched_at + $3 <= $5 and unref_at + $4 <= $5
  and not exists (select 1 from manifest_blob e where e.blob = $2 and e.repo = $1)`;

const COLLECT_LINK = `delete from repo_blob where ${LINK_IS_FREE} returning digest`;

const FREE_LINK = `
  select r.name, b.size from (select repo, digest from repo_blob where ${LINK_IS_FREE}) l
  join repo r on r.id = l.repo join blob b on b.digest = l.digest`;

const LINK_TIMES = `select touched_at, unref_at from repo_blob where repo = $1 and digest = $2`;

const LINK_NEEDED = `select 1 as found from manifest_blob where blob = $2 and repo = $1 limit 1`;

const COLLECT_BLOB = `
  delete from blob where digest = $1 and touched_at + $2 <= $4 and unref_at + $3 <= $4
  and not exists (select 1 from repo_blob l where l.digest = $1)
  and not exists (select 1 from manifest_blob e where e.blob = $1)
  returning size, storage_key`;

const FREE_BLOB = `
  select size from blob where digest = $1 and touched_at + $2 <= $4 and unref_at + $3 <= $4
  and not exists (select 1 from manifest_blob e where e.blob = $1)
  and not exists (
    select 1 from repo_blob l where l.digest = $1 and (l.touched_at + $2 > $4 or l.unref_at + $3 > $4))`;

const BLOB_TIMES = `select touched_at, unref_at from blob where digest = $1`;

const BLOB_HELD = `
  select 1 as found from repo_blob where digest = $1 union all select 1 from manifest_blob where blob = $1 limit 1`;

const MANIFEST = `
  select subject, orphaned_at, pushed_at, touched_at, size from manifest where repo = $1 and digest = $2`;

const IS_HELD = `
  select 1 as found from tag where repo = $1 and digest = $2
  union all select 1 from pin where repo = $1 and digest = $2
  union all select 1 from manifest_child where repo = $1 and child = $2
  limit 1`;

const LAST_TAGGED = `select until from tag_history where repo = $1 and digest = $2 order by until desc limit 1`;

const UNTAGGED = `
  select repo, digest from manifest m
  where (repo, digest) > ($1, $2) and not exists (select 1 from tag t where t.repo = m.repo and t.digest = m.digest)
  order by repo, digest limit $3`;

const REPOSITORY = `select name from repo where id = $1`;

/** Before everything in the queue's order. */
const START: QueuePosition = { kind: "blob", repo: -1, digest: "" };

interface ManifestRow {
  readonly subject: string | null;
  readonly orphaned_at: number | null;
  readonly pushed_at: number;
  readonly touched_at: number;
  readonly size: number;
}

interface Times {
  readonly touched_at: number;
  readonly unref_at: number;
}

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

export function* collect(
  rules: CollectionRules,
  from: QueuePosition | undefined,
  options: { readonly due: boolean; readonly limit: number },
  now: number,
): Transaction<CollectionStep> {
  const entries = options.due
    ? yield* rows<QueuePosition>(DUE, now, options.limit)
    : yield* entriesFrom(from, options.limit);
  const step: Mutable<CollectionStep> = {
    reviewed: entries.length,
    manifests: 0,
    links: 0,
    blobs: 0,
    bytes: 0,
    next: entries.length < options.limit ? undefined : entries.at(-1),
  };
  for (const entry of entries) {
    const until = yield* reviewEntry(entry, rules, now, step);
    if (until === undefined) yield* rows(LEAVE_QUEUE, entry.kind, entry.repo, entry.digest);
    else yield* rows(WAIT, entry.kind, entry.repo, entry.digest, until);
  }
  return step;
}

/** Until when the thing is held by time alone; undefined when it went, or a reference holds it. */
function* reviewEntry(
  entry: QueuePosition,
  rules: CollectionRules,
  now: number,
  step: Mutable<CollectionStep>,
): Transaction<number | undefined> {
  const { repo, digest } = entry;
  const { leaseMs, graceMs } = rules;
  switch (entry.kind) {
    case "link": {
      if (yield* first(COLLECT_LINK, repo, digest, leaseMs, graceMs, now)) {
        step.links++;
        yield* moveRepository(repo);
      } else {
        const times = yield* first<Times>(LINK_TIMES, repo, digest);
        if (times) return (yield* first(LINK_NEEDED, repo, digest)) ? undefined : endOf(times, rules);
      }
      // It went now, or a client took it away: the last thing in the repository, perhaps, and the last that showed the blob.
      yield* forgetIfEmpty(repo);
      const until = yield* collectBlob(digest, rules, now, step);
      if (until !== undefined) yield* reviewBytes(digest, until);
      return undefined;
    }
    case "blob":
      return yield* collectBlob(digest, rules, now, step);
    case "manifest": {
      if (!(yield* first(MANIFEST, repo, digest))) {
        yield* forgetIfEmpty(repo); // a client deleted it
        return undefined;
      }
      const held = yield* holds(repo, digest as Digest, rules, now);
      if (held.kind === "reference") return undefined;
      if (held.kind === "time") return held.until;
      yield* removeManifest(repo, digest as Digest, now, now + graceMs);
      step.manifests++;
      yield* forgetIfEmpty(repo);
      return undefined;
    }
  }
}

/** Until when the blob is held by time alone; undefined when it went, or a reference holds it. */
function* collectBlob(
  digest: string,
  rules: CollectionRules,
  now: number,
  step: Mutable<CollectionStep>,
): Transaction<number | undefined> {
  const { leaseMs, graceMs } = rules;
  const gone = yield* first<{ size: number; storage_key: string | null }>(COLLECT_BLOB, digest, leaseMs, graceMs, now);
  if (gone) {
    step.blobs++;
    step.bytes += gone.size;
    if (gone.storage_key !== null) yield* discard(gone.storage_key, now + Math.min(READERS_MS, graceMs));
    return undefined;
  }
  const times = yield* first<Times>(BLOB_TIMES, digest);
  return times && !(yield* first(BLOB_HELD, digest)) ? endOf(times, rules) : undefined;
}

function endOf({ touched_at, unref_at }: Times, { leaseMs, graceMs }: CollectionRules): number {
  return Math.max(touched_at + leaseMs, unref_at + graceMs);
}

type Held =
  /** Something holds it that will say so when it goes. */
  { readonly kind: "reference" } | { readonly kind: "time"; readonly until: number } | { readonly kind: "nothing" };

const BY_REFERENCE: Held = { kind: "reference" };

/**
 * What holds a manifest: a tag, a pin, an index that is here, a subject that is here (a signature lives as long as its
 * image, never the other way), or time. What leads down to it need not be walked up: when that goes, this is looked at.
 */
function* holds(repo: number, digest: Digest, rules: CollectionRules, now: number): Transaction<Held> {
  const manifest = yield* first<ManifestRow>(MANIFEST, repo, digest);
  if (!manifest || (yield* first(IS_HELD, repo, digest))) return BY_REFERENCE;
  const { subject, orphaned_at: orphanedAt } = manifest;
  if (subject !== null && (yield* first(MANIFEST, repo, subject))) return BY_REFERENCE;
  // A subject that never was here cannot go: such a referrer stands for itself. So does every image, by default.
  if (orphanedAt === null && (subject !== null || !rules.untagged)) return BY_REFERENCE;

  const lastTagged = (yield* first<{ until: number | null }>(LAST_TAGGED, repo, digest))?.until ?? undefined;
  const until = Math.max(
    manifest.pushed_at + rules.freshMs,
    manifest.touched_at + rules.leaseMs,
    lastTagged === undefined ? 0 : lastTagged + rules.undoMs,
    orphanedAt === null ? 0 : orphanedAt + rules.undoMs,
  );
  return until > now ? { kind: "time", until } : { kind: "nothing" };
}

export function* collectable(
  rules: CollectionRules,
  from: QueuePosition | undefined,
  limit: number,
  now: number,
): Transaction<{ readonly found: readonly Collectable[]; readonly next: QueuePosition | undefined }> {
  const entries = yield* entriesFrom(from, limit);
  const found: Collectable[] = [];
  for (const { kind, repo, digest } of entries) {
    const item = yield* collectableItem(kind, repo, digest as Digest, rules, now);
    if (item) found.push(item);
    // With its last link a blob goes in the same step.
    const bytes = kind === "link" && (yield* collectableItem("blob", 0, digest as Digest, rules, now));
    if (bytes) found.push(bytes);
  }
  return { found, next: entries.length < limit ? undefined : entries.at(-1) };
}

function* collectableItem(
  kind: QueuePosition["kind"],
  repo: number,
  digest: Digest,
  rules: CollectionRules,
  now: number,
): Transaction<Collectable | undefined> {
  const { leaseMs, graceMs } = rules;
  switch (kind) {
    case "link": {
      const link = yield* first<{ name: RepositoryName; size: number }>(FREE_LINK, repo, digest, leaseMs, graceMs, now);
      return link && { kind, repository: link.name, digest, size: link.size };
    }
    case "blob": {
      const blob = yield* first<{ size: number }>(FREE_BLOB, digest, leaseMs, graceMs, now);
      return blob && { kind, repository: undefined, digest, size: blob.size };
    }
    case "manifest": {
      if ((yield* holds(repo, digest, rules, now)).kind !== "nothing") return undefined;
      const name = (yield* first<{ name: RepositoryName }>(REPOSITORY, repo))?.name;
      return { kind, repository: name, digest, size: (yield* first<ManifestRow>(MANIFEST, repo, digest))?.size ?? 0 };
    }
  }
}

/** A page of the manifests that no tag points at and that collection would take now. */
export function* collectableUntagged(
  rules: CollectionRules,
  after: QueuePosition | undefined,
  limit: number,
  now: number,
): Transaction<{ readonly found: readonly Collectable[]; readonly next: QueuePosition | undefined }> {
  const { found, next } = yield* untaggedFrom(after, limit);
  const items: Collectable[] = [];
  for (const { repo, digest } of found) {
    const item = yield* collectableItem("manifest", repo, digest as Digest, rules, now);
    if (item) items.push(item);
  }
  return { found: items, next };
}

export function* queueUntagged(
  after: QueuePosition | undefined,
  limit: number,
  now: number,
): Transaction<QueuePosition | undefined> {
  const { found, next } = yield* untaggedFrom(after, limit);
  for (const { repo, digest } of found) yield* reviewManifest(repo, digest, now);
  return next;
}

function* untaggedFrom(
  after: QueuePosition | undefined,
  limit: number,
): Transaction<{
  readonly found: readonly { repo: number; digest: string }[];
  readonly next: QueuePosition | undefined;
}> {
  const found = yield* rows<{ repo: number; digest: string }>(UNTAGGED, after?.repo ?? -1, after?.digest ?? "", limit);
  const last = found.at(-1);
  return { found, next: last && found.length === limit ? { kind: "manifest", ...last } : undefined };
}

export function* backlog(now: number): Transaction<Backlog> {
  const row = yield* first<{
    entries: number;
    review: number | null;
    files: number;
    unlink: number | null;
    held: unknown;
  }>(BACKLOG, now);
  return {
    entries: row?.entries ?? 0,
    nextReviewAt: row?.review ?? undefined,
    files: row?.files ?? 0,
    nextUnlinkAt: row?.unlink ?? undefined,
    isHeldByBackup: Boolean(row?.held),
  };
}

function* entriesFrom(from: QueuePosition | undefined, limit: number): Transaction<readonly QueuePosition[]> {
  const { kind, repo, digest } = from ?? START;
  return yield* rows<QueuePosition>(NEXT, kind, repo, digest, limit);
}
