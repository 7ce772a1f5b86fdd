/**
 * Garbage collection: what nothing holds any more goes, while pushes and pulls go on.
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
import { isReferenced } from "./blobs.ts";
import { digest, integer, optional, query, repositoryName, text, truth, word } from "./columns.ts";
import type { CollectionRules, Database } from "./database.ts";
import { enqueueBlob, enqueueManifest } from "./gc-queue.ts";
import { BACKUP_LEASE } from "./leases.ts";
import { removeManifest } from "./manifests.ts";
import { forgetIfEmpty, hasManifest } from "./repositories.ts";
import { moveRepository } from "./revisions.ts";
import { any, first, rehearse, rows, run } from "./sql.ts";
import type { Transaction } from "./sql.ts";
import { UNLINK_DELAY_MS, moveToTrash } from "./trash.ts";

/** A place in the queue of what may be unreferenced. */
export interface QueuePosition {
  readonly kind: "manifest" | "link" | "blob";
  readonly repo: number;
  readonly digest: Digest;
}

/** Something that collection took, or would take now. */
export interface Collectable {
  readonly kind: "manifest" | "link" | "blob";
  /** Undefined for the bytes of a blob, which belong to no repository, and in a deleted repository. */
  readonly repository: RepositoryName | undefined;
  readonly digest: Digest;
  /** Bytes. Those of a link are freed with the blob alone. */
  readonly size: number;
}

/** What a step of collection did. */
export interface CollectionStep {
  /** Entries of the queue that were looked at. */
  readonly reviewed: number;
  /** What went: manifests, links of repositories to blobs, and blobs, whose bytes are on their way out. */
  readonly taken: readonly Collectable[];
  /** Where the next step goes on; undefined when the queue is through. */
  readonly next: QueuePosition | undefined;
}

/** What waits for garbage collection. Times are in milliseconds since 1970, undefined when nothing waits. */
export interface Backlog {
  /** Manifests, links and blobs that may be unreferenced, and when the next of them is looked at. */
  readonly entries: number;
  readonly nextReviewAt: number | undefined;
  /** Files in the trash, and when the next of them may be unlinked. */
  readonly files: number;
  readonly nextUnlinkAt: number | undefined;
  /** Whether no file is unlinked because a backup is being made. */
  readonly isHeldByBackup: boolean;
}

const ENTRY = { kind: word<QueuePosition["kind"]>("manifest", "link", "blob"), repo: integer, digest };

const DUE = query(
  ENTRY,
  `select kind, repo, digest from gc_queue where review_after <= $1 order by review_after limit $2`,
);

const NEXT = query(
  ENTRY,
  `
  select kind, repo, digest from gc_queue where (kind, repo, digest) > ($1, $2, $3)
  order by kind, repo, digest limit $4`,
);

const LEAVE_QUEUE = `delete from gc_queue where kind = $1 and repo = $2 and digest = $3`;

const WAIT = `update gc_queue set review_after = $4 where kind = $1 and repo = $2 and digest = $3`;

const BACKLOG = query(
  {
    entries: integer,
    nextReviewAt: optional(integer),
    files: integer,
    nextUnlinkAt: optional(integer),
    isHeldByBackup: truth,
  },
  `
  select (select count(*) from gc_queue) as entries, (select min(review_after) from gc_queue) as next_review_at,
    (select count(*) from trash) as files, (select min(after) from trash) as next_unlink_at,
    exists (select 1 from lease where name = '${BACKUP_LEASE}' and until > $1) as is_held_by_backup`,
);

const COLLECT_LINK = query(
  { name: optional(repositoryName), size: integer },
  `
  delete from repo_blob
  where repo = $1 and digest = $2 and touched_at + $3 <= $5 and unref_at + $4 <= $5
  and not exists (select 1 from manifest_blob e where e.blob = $2 and e.repo = $1)
  returning (select name from repo where id = $1 and name < '~') as name, (select size from blob where digest = $2) as size`,
);

const TIMES = { touchedAt: integer, unrefAt: integer };

const LINK_TIMES = query(TIMES, `select touched_at, unref_at from repo_blob where repo = $1 and digest = $2`);

const HAS_LATER_LINK = `select 1 as found from repo_blob where digest = $1 and repo > $2 limit 1`;

const COLLECT_BLOB = query(
  { size: integer, storageKey: optional(text) },
  `
  delete from blob where digest = $1 and touched_at + $2 <= $4 and unref_at + $3 <= $4
  and not exists (select 1 from repo_blob l where l.digest = $1)
  and not exists (select 1 from manifest_blob e where e.blob = $1)
  returning size, storage_key`,
);

/** A blob that goes with the last of its links, when no link is held. */
const LOSES_ALL_LINKS = query(
  { size: integer },
  `
  select size from blob where digest = $1 and touched_at + $2 <= $4 and unref_at + $3 <= $4
  and not exists (select 1 from manifest_blob e where e.blob = $1)
  and not exists (
    select 1 from repo_blob l where l.digest = $1 and (l.touched_at + $2 > $4 or l.unref_at + $3 > $4))`,
);

const BLOB_TIMES = query(TIMES, `select touched_at, unref_at from blob where digest = $1`);

const BLOB_HELD = `
  select 1 as found from repo_blob where digest = $1 union all select 1 from manifest_blob where blob = $1 limit 1`;

const MANIFEST = query(
  {
    name: optional(repositoryName),
    subject: optional(text),
    orphanedAt: optional(integer),
    pushedAt: integer,
    touchedAt: integer,
    size: integer,
  },
  `
  select case when r.name < '~' then r.name end as name, m.subject, m.orphaned_at, m.pushed_at, m.touched_at, m.size from manifest m join repo r on r.id = m.repo
  where m.repo = $1 and m.digest = $2`,
);

const IS_HELD = `
  select 1 as found from tag where repo = $1 and digest = $2
  union all select 1 from pin where repo = $1 and digest = $2
  union all select 1 from manifest_child where repo = $1 and child = $2
  limit 1`;

const LAST_TAGGED = query(
  { until: optional(integer) },
  `select until from tag_history where repo = $1 and digest = $2 order by until desc limit 1`,
);

const UNTAGGED = query(
  { repo: integer, digest },
  `
  select repo, digest from manifest m
  where (repo, digest) > ($1, $2) and not exists (select 1 from tag t where t.repo = m.repo and t.digest = m.digest)
  order by repo, digest limit $3`,
);

/** Before everything in the queue's order. */
const START = { kind: "blob", repo: -1, digest: "" } as const;

type ManifestRow = ReturnType<typeof MANIFEST.decode>;

/** Reviews entries of the queue: takes away what nothing holds, into `taken`, and enqueues anew what time holds. */
function* reviewEntries(
  entries: readonly QueuePosition[],
  rules: CollectionRules,
  now: number,
  taken: Collectable[],
): Transaction<void> {
  for (const entry of entries) {
    const until = yield* reviewEntry(entry, rules, now, taken);
    if (until === undefined) yield* run(LEAVE_QUEUE, entry.kind, entry.repo, entry.digest);
    else yield* run(WAIT, entry.kind, entry.repo, entry.digest, until);
  }
}

/** Until when the thing is held by time alone; undefined when it went, or a reference holds it. */
function* reviewEntry(
  entry: QueuePosition,
  rules: CollectionRules,
  now: number,
  taken: Collectable[],
): Transaction<number | undefined> {
  const { kind, repo, digest: subject } = entry;
  const { leaseMs, graceMs } = rules;
  switch (kind) {
    case "link": {
      const link = yield* first(COLLECT_LINK, repo, subject, leaseMs, graceMs, now);
      if (link) {
        taken.push({ kind, repository: link.name, digest: subject, size: link.size });
        yield* moveRepository(repo);
      } else {
        const times = yield* first(LINK_TIMES, repo, subject);
        if (times) return (yield* isReferenced(repo, subject)) ? undefined : endOf(times, rules);
      }
      // It went now, or a client took it away: the last thing in the repository, perhaps, and the last that showed the blob.
      yield* forgetIfEmpty(repo, now);
      const until = yield* collectBlob(subject, rules, now, taken);
      if (until !== undefined) yield* enqueueBlob(subject, until);
      return undefined;
    }
    case "blob":
      return yield* collectBlob(subject, rules, now, taken);
    case "manifest": {
      const manifest = yield* first(MANIFEST, repo, subject);
      if (!manifest) {
        yield* forgetIfEmpty(repo, now); // a client deleted it
        return undefined;
      }
      const held = yield* holdOf(repo, subject, manifest, rules, now);
      if (held.kind === "reference") return undefined;
      if (held.kind === "time") return held.until;
      yield* removeManifest(repo, subject, now, now + graceMs);
      taken.push({ kind, repository: manifest.name, digest: subject, size: manifest.size });
      yield* forgetIfEmpty(repo, now);
      return undefined;
    }
  }
}

/** Until when the blob is held by time alone; undefined when it went, or a reference holds it. */
function* collectBlob(
  blob: Digest,
  rules: CollectionRules,
  now: number,
  taken: Collectable[],
): Transaction<number | undefined> {
  const { leaseMs, graceMs } = rules;
  const gone = yield* first(COLLECT_BLOB, blob, leaseMs, graceMs, now);
  if (gone) {
    taken.push({ kind: "blob", repository: undefined, digest: blob, size: gone.size });
    if (gone.storageKey !== undefined) yield* moveToTrash(gone.storageKey, now + Math.min(UNLINK_DELAY_MS, graceMs));
    return undefined;
  }
  const times = yield* first(BLOB_TIMES, blob);
  return times && !(yield* any(BLOB_HELD, blob)) ? endOf(times, rules) : undefined;
}

function endOf({ touchedAt, unrefAt }: ReturnType<typeof BLOB_TIMES.decode>, rules: CollectionRules): number {
  return Math.max(touchedAt + rules.leaseMs, unrefAt + rules.graceMs);
}

type Held =
  /** Something holds it that will say so when it goes. */
  { readonly kind: "reference" } | { readonly kind: "time"; readonly until: number } | { readonly kind: "nothing" };

const BY_REFERENCE: Held = { kind: "reference" };

/**
 * What holds a manifest: a tag, a pin, an index that is here, a subject that is here (a signature lives as long as its
 * image, never the other way), or time. What leads down to it need not be walked up: when that goes, this is looked at.
 */
function* holdOf(
  repo: number,
  manifest: Digest,
  { subject, orphanedAt, pushedAt, touchedAt }: ManifestRow,
  rules: CollectionRules,
  now: number,
): Transaction<Held> {
  if (yield* any(IS_HELD, repo, manifest)) return BY_REFERENCE;
  if (subject !== undefined && (yield* hasManifest(repo, subject))) return BY_REFERENCE;
  // A subject that never was here cannot go: such a referrer stands for itself. So does every image, by default.
  if (orphanedAt === undefined && (subject !== undefined || !rules.untagged)) return BY_REFERENCE;

  const lastTagged = (yield* first(LAST_TAGGED, repo, manifest))?.until;
  const until = Math.max(
    pushedAt + rules.freshMs,
    touchedAt + rules.leaseMs,
    lastTagged === undefined ? 0 : lastTagged + rules.undoMs,
    orphanedAt === undefined ? 0 : orphanedAt + rules.undoMs,
  );
  return until > now ? { kind: "time", until } : { kind: "nothing" };
}

/**
 * As `reviewEntries`, for a preview. A blob goes with the last of its links, and the others may be on pages that are rolled back
 * already: of the last one it is asked whether all of them go.
 */
function* previewEntries(
  entries: readonly QueuePosition[],
  rules: CollectionRules,
  now: number,
): Transaction<readonly Collectable[]> {
  const taken: Collectable[] = [];
  for (const entry of entries) {
    const before = taken.length;
    yield* reviewEntries([entry], rules, now, taken);
    const wentAlone = entry.kind === "link" && taken.length === before + 1;
    if (!wentAlone || (yield* any(HAS_LATER_LINK, entry.digest, entry.repo))) continue;
    const blob = yield* first(LOSES_ALL_LINKS, entry.digest, rules.leaseMs, rules.graceMs, now);
    if (blob) taken.push({ kind: "blob", repository: undefined, digest: entry.digest, size: blob.size });
  }
  return taken;
}

function* entriesFrom(from: QueuePosition | undefined, limit: number): Transaction<readonly QueuePosition[]> {
  const { kind, repo, digest: after } = from ?? START;
  return yield* rows(NEXT, kind, repo, after, limit);
}

function* untaggedFrom(after: QueuePosition | undefined, limit: number): Transaction<readonly QueuePosition[]> {
  const found = yield* rows(UNTAGGED, after?.repo ?? -1, after?.digest ?? "", limit);
  return found.map((each) => ({ kind: "manifest", ...each }));
}

/** Where the page behind this one begins; undefined when this one was the last. */
function nextOf(entries: readonly QueuePosition[], limit: number): QueuePosition | undefined {
  return entries.length < limit ? undefined : entries.at(-1);
}

/** A page of what collection would take. */
export interface CollectionPreview {
  readonly found: readonly Collectable[];
  readonly next: QueuePosition | undefined;
}

export class Collection {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /**
   * Reviews some entries of the queue and takes away what nothing holds any more: with `due` those whose time has come,
   * else any, from `from` on. Durable after `flush`.
   */
  collect(
    rules: CollectionRules,
    from: QueuePosition | undefined,
    options: { readonly due: boolean; readonly limit: number; readonly now?: number },
  ): Promise<CollectionStep> {
    const { engine, clock } = this.#database;
    const { due, limit } = options;
    return engine.write(function* (): Transaction<CollectionStep> {
      const { now = clock.now() } = options;
      const entries = yield* due ? rows(DUE, now, limit) : entriesFrom(from, limit);
      const taken: Collectable[] = [];
      yield* reviewEntries(entries, rules, now, taken);
      return { reviewed: entries.length, taken, next: nextOf(entries, limit) };
    }, "soon");
  }

  /**
   * What `collect` over the whole queue would take now, for a person to look at; a thing may come twice. Changes nothing: it is
   * the same transaction, rolled back.
   */
  preview(rules: CollectionRules, from: QueuePosition | undefined, limit: number): Promise<CollectionPreview> {
    return this.#preview(rules, () => entriesFrom(from, limit), limit);
  }

  /** The manifests among those that no tag points at which collection would take now, queued or not; a page of them. */
  previewUntagged(rules: CollectionRules, after: QueuePosition | undefined, limit: number): Promise<CollectionPreview> {
    return this.#preview(rules, () => untaggedFrom(after, limit), limit);
  }

  /** Enqueues manifests that no tag points at, a page of them; returns where the next page begins. */
  enqueueUntagged(after: QueuePosition | undefined, limit: number): Promise<QueuePosition | undefined> {
    const { engine, clock } = this.#database;
    return engine.write(function* (): Transaction<QueuePosition | undefined> {
      const found = yield* untaggedFrom(after, limit);
      for (const { repo, digest: manifest } of found) yield* enqueueManifest(repo, manifest, clock.now());
      return nextOf(found, limit);
    });
  }

  /** What waits for garbage collection, due or not. */
  async backlog(): Promise<Backlog> {
    const { engine, clock } = this.#database;
    const backlog = await engine.read(() => first(BACKLOG, clock.now()));
    if (!backlog) throw new Error("nothing was counted");
    return backlog;
  }

  #preview(
    rules: CollectionRules,
    entriesOf: () => Transaction<readonly QueuePosition[]>,
    limit: number,
  ): Promise<CollectionPreview> {
    const { engine, clock } = this.#database;
    return rehearse(engine, function* (): Transaction<CollectionPreview> {
      const entries = yield* entriesOf();
      return { found: yield* previewEntries(entries, rules, clock.now()), next: nextOf(entries, limit) };
    });
  }
}
