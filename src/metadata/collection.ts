/**
 * Garbage collection: what nothing holds any more goes, while pushes and pulls go on.
 *
 *   an event that may take a last reference (an upload that no manifest ever needed, a deleted manifest, a moved tag)
 *     → an entry of gc_queue, to be looked at when lease and grace are over
 *   a step looks at some entries, in one transaction, by statements that each look at all of them (`garbage.ts`):
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
import { digest, integer, optional, query, repositoryName, text, truth, word } from "./columns.ts";
import type { CollectionRules, Database } from "./database.ts";
import {
  BLOB_HELD_UNTIL,
  BLOB_IS_GARBAGE,
  BLOB_IS_UNREFERENCED,
  IN_REPOSITORIES,
  LINK_HELD_UNTIL,
  LINK_IS_GARBAGE,
  LINK_IS_UNREFERENCED,
  NAMED,
  digestsOf,
  pairsOf,
  reviewManifests,
  valuesFor,
} from "./garbage.ts";
import type { GarbageManifest, QueuePosition } from "./garbage.ts";
import { BACKUP_LEASE } from "./leases.ts";
import { removeManifest } from "./manifests.ts";
import { forgetEmpty } from "./repositories.ts";
import { moveRepositories } from "./revisions.ts";
import { first, rows, run } from "./sql.ts";
import type { Transaction } from "./sql.ts";
import { UNLINK_DELAY_MS, moveAllToTrash } from "./trash.ts";

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
  /** Manifests, links and blobs that may be unreferenced, at most 100,000 of them, and when the next is looked at. */
  readonly entries: number;
  readonly nextReviewAt: number | undefined;
  /** Files in the trash, at most 100,000 of them, and when the next may be unlinked. */
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

const LEAVE_QUEUE = `
  delete from gc_queue
  where (kind, repo, digest) in (select value ->> 0, value ->> 1, value ->> 2 from json_each($1))`;

const WAIT = `
  insert into gc_queue (kind, repo, digest, review_after)
  select value ->> 0, value ->> 1, value ->> 2, value ->> 3 from json_each($1) where true
  on conflict (kind, repo, digest) do update set review_after = excluded.review_after
  where gc_queue.review_after <> excluded.review_after`;

/** Of what waits so many are counted: `MOST_COUNTED` stands for as many or more. */
export const MOST_COUNTED = 100_000;

const BACKLOG = query(
  {
    entries: integer,
    nextReviewAt: optional(integer),
    files: integer,
    nextUnlinkAt: optional(integer),
    isHeldByBackup: truth,
  },
  `
  select (select count(*) from (select 1 from gc_queue limit ${MOST_COUNTED})) as entries,
    (select min(review_after) from gc_queue) as next_review_at,
    (select count(*) from (select 1 from trash limit ${MOST_COUNTED})) as files,
    (select min(after) from trash) as next_unlink_at,
    exists (select 1 from lease where name = '${BACKUP_LEASE}' and until > $1) as is_held_by_backup`,
);

const COLLECT_LINKS = query(
  { repo: integer, name: optional(repositoryName), digest, size: integer },
  `
  delete from repo_blob as l where (l.repo, l.digest) in ${IN_REPOSITORIES} and ${LINK_IS_GARBAGE}
  returning repo, (select name from repo r where r.id = repo and name < '~') as name, digest,
    (select size from blob b where b.digest = repo_blob.digest) as size`,
);

const HELD = { repo: integer, digest, until: integer };

const HELD_LINKS = query(
  HELD,
  `
  select l.repo, l.digest, ${LINK_HELD_UNTIL} as until from repo_blob l
  where (l.repo, l.digest) in ${IN_REPOSITORIES} and ${LINK_IS_UNREFERENCED}`,
);

const COLLECT_BLOBS = query(
  { digest, size: integer, storageKey: optional(text) },
  `
  delete from blob as b where b.digest in ${NAMED} and ${BLOB_IS_GARBAGE} returning digest, size, storage_key`,
);

const HELD_BLOBS = query(
  HELD,
  `
  select 0 as repo, b.digest, ${BLOB_HELD_UNTIL} as until from blob b
  where b.digest in ${NAMED} and ${BLOB_IS_UNREFERENCED}`,
);

const MANIFESTS_AFTER = query(
  { repo: integer, digest, isTagged: truth },
  `
  select m.repo, m.digest, exists (select 1 from tag_count c where c.repo = m.repo and c.digest = m.digest) as is_tagged
  from manifest m where (m.repo, m.digest) > ($1, $2) order by m.repo, m.digest limit $3`,
);

/** Before everything in the queue's order. */
const START = { kind: "blob", repo: -1, digest: "" } as const;

/** What manifests name that are removed in one step, and themselves: that many rows, several times, are about two milliseconds. */
const MOST_ROWS = 200;
/** Counted for the manifest itself. */
const ROWS_OF_MANIFEST = 10;

/** What a step has found and done so far. */
interface Review {
  readonly rules: CollectionRules;
  readonly now: number;
  readonly taken: Collectable[];
  /** Entries that time alone holds, and until when. */
  readonly waiting: (QueuePosition & { readonly until: number })[];
  /** Repositories in which nothing may lie any more. */
  readonly lessened: Set<number>;
}

/** Reviews entries of the queue: takes away what nothing holds, and enqueues anew what time holds. */
function* reviewEntries(entries: readonly QueuePosition[], review: Review): Transaction<void> {
  if (entries.length === 0) return;
  const of = (kind: QueuePosition["kind"]): readonly QueuePosition[] => entries.filter((entry) => entry.kind === kind);
  yield* collectLinks(of("link"), review);
  // The links that went, or that a client took away, may have been the last that showed their blobs.
  yield* collectBlobs([...of("link"), ...of("blob")], review);
  const manifests = yield* reviewManifests(of("manifest"), review.rules, review.now);
  for (const held of manifests.held) review.waiting.push({ kind: "manifest", ...held });
  const removed = fittingManifests(manifests.garbage);
  for (const { repo, digest: left } of manifests.garbage.slice(removed.length)) {
    review.waiting.push({ kind: "manifest", repo, digest: left, until: review.now });
  }

  const waiting = new Set(review.waiting.map(keyOf));
  const leaving = entries.filter((entry) => !waiting.has(keyOf(entry)));
  yield* run(LEAVE_QUEUE, JSON.stringify(leaving.map(({ kind, repo, digest: named }) => [kind, repo, named])));
  yield* run(
    WAIT,
    JSON.stringify(review.waiting.map(({ kind, repo, digest: named, until }) => [kind, repo, named, until])),
  );

  for (const { repo, digest: manifest, name, size } of removed) {
    // What it held may go at once as far as this is about it: it is looked at before this collection ends.
    yield* removeManifest(repo, manifest, review.now, review.now);
    review.taken.push({ kind: "manifest", repository: name, digest: manifest, size });
  }
  for (const { repo } of of("manifest")) review.lessened.add(repo);
  yield* forgetEmpty([...review.lessened], review.now);
}

/** The first of the manifests, as many as one step removes: one at the least. */
function fittingManifests(garbage: readonly GarbageManifest[]): readonly GarbageManifest[] {
  let sum = 0;
  return garbage.filter(({ rows: named }, at) => (sum += named + ROWS_OF_MANIFEST) <= MOST_ROWS || at === 0);
}

function keyOf({ kind, repo, digest: named }: QueuePosition): string {
  return `${kind} ${repo} ${named}`;
}

function* collectLinks(entries: readonly QueuePosition[], review: Review): Transaction<void> {
  if (entries.length === 0) return;
  const values = valuesFor(pairsOf(entries), review.rules, review.now);
  const gone = yield* rows(COLLECT_LINKS, ...values);
  for (const { name, digest: blob, size } of gone) {
    review.taken.push({ kind: "link", repository: name, digest: blob, size });
  }
  yield* moveRepositories(gone.map(({ repo }) => repo));
  for (const held of yield* rows(HELD_LINKS, ...values.slice(0, 3))) review.waiting.push({ kind: "link", ...held });
  for (const { repo } of entries) review.lessened.add(repo);
}

function* collectBlobs(entries: readonly QueuePosition[], review: Review): Transaction<void> {
  if (entries.length === 0) return;
  const { rules, now } = review;
  const values = valuesFor(digestsOf(entries), rules, now);
  const gone = yield* rows(COLLECT_BLOBS, ...values);
  for (const { digest: blob, size } of gone) {
    review.taken.push({ kind: "blob", repository: undefined, digest: blob, size });
  }
  const keys = gone.flatMap(({ storageKey }) => storageKey ?? []);
  yield* moveAllToTrash(keys, now + Math.min(UNLINK_DELAY_MS, rules.graceMs));
  for (const held of yield* rows(HELD_BLOBS, ...values.slice(0, 3))) review.waiting.push({ kind: "blob", ...held });
}

/** Entries of the queue behind `from`, in its order. */
export function* entriesAfter(from: QueuePosition | undefined, limit: number): Transaction<readonly QueuePosition[]> {
  const { kind, repo, digest: after } = from ?? START;
  return yield* rows(NEXT, kind, repo, after, limit);
}

/** Manifests behind `from`, whether or not a tag points at them. */
export function* manifestsAfter(
  from: QueuePosition | undefined,
  limit: number,
): Transaction<readonly (QueuePosition & { readonly isTagged: boolean })[]> {
  const found = yield* rows(MANIFESTS_AFTER, from?.repo ?? -1, from?.digest ?? "", limit);
  return found.map((each) => ({ kind: "manifest", ...each }));
}

/** Where the page behind this one begins; undefined when this one was the last. */
export function nextOf(entries: readonly QueuePosition[], limit: number): QueuePosition | undefined {
  return entries.length < limit ? undefined : entries.at(-1);
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
    options: {
      readonly due: boolean;
      readonly limit: number;
      readonly now?: number;
      /** Called when the transaction begins, again when it has to be repeated. */
      readonly onBegin?: () => void;
    },
  ): Promise<CollectionStep> {
    const { engine, clock } = this.#database;
    const { due, limit } = options;
    return engine.write(function* (): Transaction<CollectionStep> {
      options.onBegin?.();
      const { now = clock.now() } = options;
      const entries = yield* due ? rows(DUE, now, limit) : entriesAfter(from, limit);
      const review: Review = { rules, now, taken: [], waiting: [], lessened: new Set() };
      yield* reviewEntries(entries, review);
      return { reviewed: entries.length, taken: review.taken, next: nextOf(entries, limit) };
    }, "soon");
  }

  /**
   * Enqueues those of the next `limit` manifests that no tag points at. Returns where the next step begins; undefined when all
   * manifests were looked at.
   */
  enqueueUntagged(from: QueuePosition | undefined, limit: number): Promise<QueuePosition | undefined> {
    const { engine, clock } = this.#database;
    return engine.write(function* (): Transaction<QueuePosition | undefined> {
      const manifests = yield* manifestsAfter(from, limit);
      const untagged = manifests.filter(({ isTagged }) => !isTagged);
      const now = clock.now();
      yield* run(WAIT, JSON.stringify(untagged.map(({ kind, repo, digest: named }) => [kind, repo, named, now])));
      return nextOf(manifests, limit);
    }, "soon");
  }

  /** What waits for garbage collection, due or not. */
  async backlog(): Promise<Backlog> {
    const { engine, clock } = this.#database;
    const backlog = await engine.read(() => first(BACKLOG, clock.now()));
    if (!backlog) throw new Error("nothing was counted");
    return backlog;
  }
}
