/**
 * Garbage collection: what nothing holds any more goes, while pushes and pulls go on.
 *
 *   an event that may take a last reference (an upload that no manifest ever needed, a deleted manifest, a moved tag)
 *     → the row of the manifest, link or blob gets a time, review_after, when lease and grace are over: it is in the queue;
 *       so is the row of a repository in which nothing may lie any more
 *   a step looks at some entries, in one transaction, by statements that each look at all of them (`garbage.ts`):
 *     link     DELETE … WHERE lease and grace are over AND no manifest of the repository needs the blob
 *     blob     DELETE … WHERE lease and grace are over AND no repository shows it AND no manifest needs it;
 *              its storage key → trash, in the same transaction
 *     manifest no tag, pin, index or subject that is here, no time that holds it → delete it as a client would
 *     still held by a reference → it leaves the queue: losing that reference will enqueue it again
 *     still held by time → it waits for the end of that time
 *   later: bytes of the trash are unlinked, then its rows go
 *
 * That a needed blob stays does not rest on these conditions: the RESTRICT key of manifest_blob refuses its deletion.
 */
import type { Digest } from "../oci/digest.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import { digest, integer, optional, query, repositoryName, text, truth } from "./columns.ts";
import type { CollectionRules, Database } from "./database.ts";
import {
  BLOB_HELD_UNTIL,
  BLOB_IS_GARBAGE,
  BLOB_IS_UNREFERENCED,
  IDS,
  LINKS,
  LINK_HELD_UNTIL,
  LINK_IS_GARBAGE,
  LINK_IS_UNREFERENCED,
  idsOf,
  pairsOf,
  reviewManifests,
  valuesFor,
} from "./garbage.ts";
import type { GarbageManifest, Link, QueueEntry, QueuePosition } from "./garbage.ts";
import { enqueueManifests } from "./gc-queue.ts";
import { BACKUP_LEASE } from "./leases.ts";
import { removeManifest } from "./manifests.ts";
import { forgetEmpty } from "./repositories.ts";
import { moveRepositories } from "./revisions.ts";
import { lockBlobs, lockLinks } from "./locks.ts";
import { batch, bound, first, locked, rows, rowsOf, rowsOfBoth, run, statement } from "./sql.ts";
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

const BLOB = { id: integer, reviewAfter: integer };
const OF_REPOSITORY = { ...BLOB, repo: integer };

const DUE_BLOBS = query(
  BLOB,
  `select id, review_after from blob where review_after <= $1 order by review_after limit $2`,
);

const DUE_LINKS = query(
  OF_REPOSITORY,
  `select repo, blob as id, review_after from repo_blob where review_after <= $1 order by review_after limit $2`,
);

const DUE_MANIFESTS = query(
  OF_REPOSITORY,
  `select repo, id, review_after from manifest where review_after <= $1 order by review_after limit $2`,
);

const DUE_REPOSITORIES = query(
  OF_REPOSITORY,
  `select id as repo, id, review_after from repo where review_after <= $1 order by review_after limit $2`,
);

const NEXT_BLOBS = query(
  BLOB,
  `
  select id, review_after from blob where review_after is not null and (review_after, id) > ($1, $2)
  order by review_after, id limit $3`,
);

const NEXT_LINKS = query(
  OF_REPOSITORY,
  `
  select repo, blob as id, review_after from repo_blob
  where review_after is not null and (review_after, repo, blob) > ($1, $2, $3)
  order by review_after, repo, blob limit $4`,
);

const NEXT_MANIFESTS = query(
  OF_REPOSITORY,
  `
  select repo, id, review_after from manifest where review_after is not null and (review_after, id) > ($1, $2)
  order by review_after, id limit $3`,
);

const NEXT_REPOSITORIES = query(
  OF_REPOSITORY,
  `
  select id as repo, id, review_after from repo where review_after is not null and (review_after, id) > ($1, $2)
  order by review_after, id limit $3`,
);

const BLOBS_LEAVE = `update blob set review_after = null where id in ${IDS}`;
const LINKS_LEAVE = `update repo_blob set review_after = null where (repo, blob) in ${LINKS}`;
const MANIFESTS_LEAVE = `update manifest set review_after = null where id in ${IDS}`;
const REPOSITORIES_LEAVE = `update repo set review_after = null where id in ${IDS}`;

/** $1 has an id and a time for each. */
const BLOBS_WAIT = `
  update blob set review_after = held.until
  from (select cast(value ->> 0 as bigint) as id, cast(value ->> 1 as bigint) as until from json_each($1)) held
  where blob.id = held.id and blob.review_after is distinct from held.until`;

/** $1 has a repository, a blob and a time for each. */
const LINKS_WAIT = `
  update repo_blob set review_after = held.until
  from (
    select cast(value ->> 0 as bigint) as repo, cast(value ->> 1 as bigint) as blob, cast(value ->> 2 as bigint) as until
    from json_each($1)) held
  where repo_blob.repo = held.repo and repo_blob.blob = held.blob and repo_blob.review_after is distinct from held.until`;

/** $1 has an id and a time for each. */
const MANIFESTS_WAIT = `
  update manifest set review_after = held.until
  from (select cast(value ->> 0 as bigint) as id, cast(value ->> 1 as bigint) as until from json_each($1)) held
  where manifest.id = held.id and manifest.review_after is distinct from held.until`;

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
  select (
      select count(*) from (
        select 1 from blob where review_after is not null
        union all select 1 from repo_blob where review_after is not null
        union all select 1 from manifest where review_after is not null
        union all select 1 from repo where review_after is not null limit ${MOST_COUNTED}) entry) as entries,
    (select min(review_after) from (
      select min(review_after) as review_after from blob where review_after is not null
      union all select min(review_after) from repo_blob where review_after is not null
      union all select min(review_after) from manifest where review_after is not null
      union all select min(review_after) from repo where review_after is not null) next) as next_review_at,
    (select count(*) from (select 1 from trash limit ${MOST_COUNTED}) file) as files,
    (select min(after) from trash) as next_unlink_at,
    exists (select 1 from lease where name = '${BACKUP_LEASE}' and until > $1) as is_held_by_backup`,
);

const COLLECT_LINKS = query(
  { repo: integer, name: optional(repositoryName), id: integer, digest, size: integer },
  `
  delete from repo_blob as l where (l.repo, l.blob) in ${LINKS} and ${LINK_IS_GARBAGE}
  returning repo, (select name from repo r where r.id = repo and name < '~') as name, blob as id,
    (select digest from blob b where b.id = repo_blob.blob) as digest,
    (select size from blob b where b.id = repo_blob.blob) as size`,
);

const HELD_LINKS = query(
  { repo: integer, id: integer, until: integer },
  `
  select l.repo, l.blob as id, ${LINK_HELD_UNTIL} as until from repo_blob l
  where (l.repo, l.blob) in ${LINKS} and ${LINK_IS_UNREFERENCED}`,
);

const COLLECT_BLOBS = query(
  { digest, size: integer, storageKey: optional(text) },
  `
  delete from blob as b where b.id in ${IDS} and ${BLOB_IS_GARBAGE} returning digest, size, storage_key`,
);

const HELD_BLOBS = query(
  { id: integer, until: integer },
  `
  select b.id, ${BLOB_HELD_UNTIL} as until from blob b
  where b.id in ${IDS} and ${BLOB_IS_UNREFERENCED}`,
);

const MANIFESTS_AFTER = query(
  { id: integer, repo: integer, isTagged: truth, isQueued: truth },
  `
  select m.id, m.repo, exists (select 1 from tag_count c where c.manifest = m.id) as is_tagged,
    m.review_after is not null as is_queued
  from manifest m where m.id > $1 order by m.id limit $2`,
);

/** What manifests name that are removed in one step, and themselves: that many rows, several times, are about two milliseconds. */
const MOST_ROWS = 200;
/** Counted for the manifest itself. */
const ROWS_OF_MANIFEST = 10;

/** What a step has found and done so far. */
interface Review {
  readonly rules: CollectionRules;
  readonly now: number;
  readonly taken: Collectable[];
  /** Repositories in which nothing may lie any more. */
  readonly lessened: Set<number>;
}

/** Reviews entries of the queue: takes away what nothing holds, and enqueues anew what time holds. */
function* reviewEntries(entries: readonly QueueEntry[], review: Review): Transaction<void> {
  const of = (kind: QueueEntry["kind"]): readonly QueueEntry[] => entries.filter((entry) => entry.kind === kind);
  const [links, blobs, manifests, repositories] = [of("link"), of("blob"), of("manifest"), of("repository")];
  if (links.length > 0) yield* reviewLinks(links, review);
  // The links that went may have been the last that showed their blobs.
  if (links.length + blobs.length > 0) yield* reviewBlobs(links, blobs, review);
  if (manifests.length > 0) yield* reviewGarbageManifests(manifests, review);
  if (repositories.length > 0) yield* run(REPOSITORIES_LEAVE, idsOf(repositories));
  for (const { repo } of [...links, ...manifests, ...repositories]) review.lessened.add(repo);
  yield* forgetEmpty([...review.lessened], review.now);
}

function* reviewLinks(entries: readonly QueueEntry[], review: Review): Transaction<void> {
  const values = valuesFor(pairsOf(entries), review.rules, review.now);
  const gone = yield* rowsOf(locked([lockLinks(String(values[0]))], bound(COLLECT_LINKS, ...values)));
  for (const { name, digest: blob, size } of gone) {
    review.taken.push({ kind: "link", repository: name, digest: blob, size });
  }
  yield* moveRepositories(gone.map(({ repo }) => repo));
  const held = yield* rows(HELD_LINKS, ...values.slice(0, 3));
  yield* batch(
    statement(LINKS_LEAVE, pairsOf(without(entries, held))),
    statement(LINKS_WAIT, JSON.stringify(held.map(({ repo, id, until }) => [repo, id, until]))),
  );
}

function* reviewBlobs(links: readonly QueueEntry[], entries: readonly QueueEntry[], review: Review): Transaction<void> {
  const { rules, now } = review;
  const values = valuesFor(idsOf([...links, ...entries]), rules, now);
  const gone = yield* rowsOf(locked([lockBlobs(String(values[0]))], bound(COLLECT_BLOBS, ...values)));
  for (const { digest: blob, size } of gone) {
    review.taken.push({ kind: "blob", repository: undefined, digest: blob, size });
  }
  const keys = gone.flatMap(({ storageKey }) => storageKey ?? []);
  yield* moveAllToTrash(keys, now + Math.min(UNLINK_DELAY_MS, rules.graceMs));
  const held = yield* rows(HELD_BLOBS, ...values.slice(0, 3));
  const waiting = new Set(held.map(({ id }) => id));
  yield* batch(
    statement(BLOBS_LEAVE, idsOf(entries.filter(({ id }) => !waiting.has(id)))),
    statement(BLOBS_WAIT, JSON.stringify(held.map(({ id, until }) => [id, until]))),
  );
}

function* reviewGarbageManifests(entries: readonly QueueEntry[], review: Review): Transaction<void> {
  const { rules, now } = review;
  const found = yield* reviewManifests(entries, rules, now);
  const removed = fittingManifests(found.garbage);
  const held = [...found.held, ...found.garbage.slice(removed.length).map(({ id }) => ({ id, until: now }))];
  const waiting = new Set(held.map(({ id }) => id));
  yield* batch(
    statement(MANIFESTS_LEAVE, idsOf(entries.filter(({ id }) => !waiting.has(id)))),
    statement(MANIFESTS_WAIT, JSON.stringify(held.map(({ id, until }) => [id, until]))),
  );
  for (const { name, size, ...manifest } of removed) {
    // What it held may go at once as far as this is about it: it is looked at before this collection ends.
    yield* removeManifest(manifest, now, now);
    review.taken.push({ kind: "manifest", repository: name, digest: manifest.digest, size });
  }
}

function without(entries: readonly QueueEntry[], held: readonly Link[]): readonly QueueEntry[] {
  const waiting = new Set(held.map(({ repo, id }) => `${repo} ${id}`));
  return entries.filter(({ repo, id }) => !waiting.has(`${repo} ${id}`));
}

/** The first of the manifests, as many as one step removes: one at the least. */
function fittingManifests(garbage: readonly GarbageManifest[]): readonly GarbageManifest[] {
  let sum = 0;
  return garbage.filter(({ rows: named }, at) => (sum += named + ROWS_OF_MANIFEST) <= MOST_ROWS || at === 0);
}

/** Entries whose time has come, the oldest first. */
function* dueEntries(now: number, limit: number): Transaction<readonly QueueEntry[]> {
  const [blobs, links] = yield* rowsOfBoth(bound(DUE_BLOBS, now, limit), bound(DUE_LINKS, now, limit));
  const [manifests, repositories] = yield* rowsOfBoth(
    bound(DUE_MANIFESTS, now, limit),
    bound(DUE_REPOSITORIES, now, limit),
  );
  return [
    ...entriesOf("blob", blobs),
    ...entriesOf("link", links),
    ...entriesOf("manifest", manifests),
    ...entriesOf("repository", repositories),
  ]
    .toSorted((a, b) => a.reviewAfter - b.reviewAfter)
    .slice(0, limit);
}

function entriesOf(
  kind: QueueEntry["kind"],
  found: readonly { readonly repo?: number; readonly id: number; readonly reviewAfter: number }[],
): readonly QueueEntry[] {
  return found.map((entry) => ({ repo: 0, ...entry, kind }));
}

/** In the queue's order. */
const KINDS = ["blob", "link", "manifest", "repository"] as const;

const NEXT: Readonly<
  Record<QueueEntry["kind"], (from: QueuePosition, limit: number) => Transaction<readonly QueueEntry[]>>
> = {
  *blob({ reviewAfter, id }, limit) {
    return entriesOf("blob", yield* rows(NEXT_BLOBS, reviewAfter, id, limit));
  },
  *link({ reviewAfter, repo, id }, limit) {
    return entriesOf("link", yield* rows(NEXT_LINKS, reviewAfter, repo, id, limit));
  },
  *manifest({ reviewAfter, id }, limit) {
    return entriesOf("manifest", yield* rows(NEXT_MANIFESTS, reviewAfter, id, limit));
  },
  *repository({ reviewAfter, id }, limit) {
    return entriesOf("repository", yield* rows(NEXT_REPOSITORIES, reviewAfter, id, limit));
  },
};

/** Entries of the queue behind `from`: blobs, links, manifests, repositories, each in the order of their times. */
export function* entriesAfter(from: QueuePosition | undefined, limit: number): Transaction<readonly QueueEntry[]> {
  const found: QueueEntry[] = [];
  for (const kind of KINDS.slice(KINDS.indexOf(from?.kind ?? "blob"))) {
    const start = from?.kind === kind ? from : { kind, repo: 0, id: 0, reviewAfter: -1 };
    found.push(...(yield* NEXT[kind](start, limit - found.length)));
    if (found.length === limit) break;
  }
  return found;
}

/** A manifest, whether or not a tag points at it, and whether or not it is in the queue. */
export type ListedManifest = QueuePosition & { readonly isTagged: boolean; readonly isQueued: boolean };

/** Manifests behind `from`. */
export function* manifestsAfter(
  from: QueuePosition | undefined,
  limit: number,
): Transaction<readonly ListedManifest[]> {
  const found = yield* rows(MANIFESTS_AFTER, from?.id ?? 0, limit);
  return found.map((each) => ({ kind: "manifest", reviewAfter: 0, ...each }));
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
      const entries = yield* due ? dueEntries(now, limit) : entriesAfter(from, limit);
      const review: Review = { rules, now, taken: [], lessened: new Set() };
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
      const ids = untagged.map(({ id }) => id);
      yield* batch(enqueueManifests(ids, clock.now()));
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
