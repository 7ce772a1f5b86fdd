/**
 * What is garbage: the conditions of collection, written once for the statements that delete and for those of a dry run that
 * only look. The protocol stands above `collection.ts`.
 */
import type { Digest } from "../oci/digest.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import { digest, integer, optional, query, repositoryName } from "./columns.ts";
import type { CollectionRules } from "./database.ts";
import type { ManifestKey } from "./gc-queue.ts";
import { lockManifests } from "./locks.ts";
import { bound, listedIds, locked, rowsOf } from "./sql.ts";
import type { Transaction, Value } from "./sql.ts";

/** A row that is in the queue of what may be unreferenced. */
export interface QueueEntry {
  readonly kind: "blob" | "link" | "manifest" | "repository";
  /** 0 for a blob. */
  readonly repo: number;
  /** The id of the manifest or blob; that of the repository otherwise. */
  readonly id: number;
  readonly reviewAfter: number;
}

/** A place in the queue, or in a list of manifests. */
export type QueuePosition = QueueEntry;

/** A link of a repository to a blob. */
export type Link = Pick<QueueEntry, "repo" | "id">;

/** The values of the statements that decide about links and blobs: $1 names them as JSON, $2 to $4 are the times. */
export function valuesFor(names: string, { leaseMs, graceMs }: CollectionRules, now: number): readonly Value[] {
  return [names, leaseMs, graceMs, now];
}

/** As `LINKS` reads it. */
export function pairsOf(links: readonly Link[]): string {
  return JSON.stringify(links.map(({ repo, id }) => [repo, id]));
}

/** As `IDS` reads it. */
export function idsOf(entries: readonly { readonly id: number }[]): string {
  return listedIds(entries.map(({ id }) => id));
}

/** The repositories and blobs of the links of $1. */
export const LINKS = `(select cast(value ->> 0 as bigint), cast(value ->> 1 as bigint) from json_each($1))`;

/** The ids of $1. */
export const IDS = `(select cast(value as bigint) from json_each($1))`;

/** Whether lease and grace of the link, or blob, `of` are over. */
function isOver(of: string): string {
  return `${of}.touched_at + $2 <= $4 and ${of}.unref_at + $3 <= $4`;
}

/** No manifest of the repository references the blob of the link `l`. */
export const LINK_IS_UNREFERENCED = `
  not exists (select 1 from manifest_blob e where e.blob = l.blob and e.repo = l.repo)`;

/** The link `l` goes. */
export const LINK_IS_GARBAGE = `${isOver("l")} and ${LINK_IS_UNREFERENCED}`;

/** No manifest references the blob `b`. */
const BLOB_HAS_NO_EDGE = `not exists (select 1 from manifest_blob e where e.blob = b.id)`;

/** No repository shows the blob `b`, and no manifest references it. */
export const BLOB_IS_UNREFERENCED = `
  not exists (select 1 from repo_blob l where l.blob = b.id) and ${BLOB_HAS_NO_EDGE}`;

/** The blob `b` goes. */
export const BLOB_IS_GARBAGE = `${isOver("b")} and ${BLOB_IS_UNREFERENCED}`;

/** The blob `b` goes once no repository shows it any more. */
export const BLOB_IS_GARBAGE_WITHOUT_LINKS = `${isOver("b")} and ${BLOB_HAS_NO_EDGE}`;

function heldUntil(of: string): string {
  return `case when ${of}.touched_at + $2 > ${of}.unref_at + $3 then ${of}.touched_at + $2 else ${of}.unref_at + $3 end`;
}

/** Until when the link `l` is held by time. */
export const LINK_HELD_UNTIL: string = heldUntil("l");

/** Until when the blob `b` is held by time. */
export const BLOB_HELD_UNTIL: string = heldUntil("b");

/** Rows of one kind that are counted of a manifest: one that has more is removed by itself. */
const MANY_ROWS = 200;

/**
 * Manifests that no reference holds: a tag, a pin, an index that is here, a subject that is here (a signature lives as long as
 * its image, never the other way). What leads down to one of these need not be walked up: when that goes, this is enqueued.
 *
 * A subject that never was here cannot go: such a referrer stands for itself. So does every image, by default.
 */
const UNREFERENCED_MANIFESTS = query(
  {
    id: integer,
    repo: integer,
    digest,
    name: optional(repositoryName),
    size: integer,
    orphanedAt: optional(integer),
    pushedAt: integer,
    touchedAt: integer,
    lastTagged: optional(integer),
    lastRemoved: optional(integer),
    rows: integer,
  },
  `
  select m.id, m.repo, m.digest, case when r.name < '~' then r.name end as name, m.size, f.deleted_at as orphaned_at,
    m.pushed_at, m.touched_at,
    (select max(h.until) from tag_history h where h.repo = m.repo and h.digest = m.digest) as last_tagged,
    (select max(j.begun_at) from job j where j.repo = m.repo and j.digest = m.digest and j.kind = 'remove tags')
      as last_removed,
    (select count(*) from (select 1 from manifest_blob e where e.manifest = m.id limit ${MANY_ROWS}) edges) +
    (select count(*) from (select 1 from manifest_child c where c.parent = m.id limit ${MANY_ROWS}) children) +
    (select count(*) from (
      select 1 from manifest s where s.repo = m.repo and s.subject = m.digest limit ${MANY_ROWS}) referrers) as rows
  from manifest m join repo r on r.id = m.repo
  left join former_subject f on f.repo = m.repo and f.digest = m.subject and f.id is distinct from m.pushed_after
  where m.id in ${IDS}
  and (f.id is not null or ($2 = 1 and m.subject is null))
  and not exists (select 1 from tag_count t where t.manifest = m.id)
  and not exists (select 1 from pin p where p.manifest = m.id)
  and not exists (select 1 from manifest_child c where c.repo = m.repo and c.child = m.digest)
  and not exists (select 1 from manifest s where s.repo = m.repo and s.digest = m.subject)`,
);

/** A manifest that goes. */
export interface GarbageManifest extends ManifestKey {
  readonly digest: Digest;
  /** Of the repository; undefined when that was deleted. */
  readonly name: RepositoryName | undefined;
  readonly size: number;
  /** Blobs and children that it names, and its referrers; up to some hundreds are counted. */
  readonly rows: number;
}

/** What was found of manifests of the queue; those that a reference holds are in neither. */
export interface ManifestFindings {
  readonly garbage: readonly GarbageManifest[];
  /** Held by time alone, and until when. */
  readonly held: readonly { readonly id: number; readonly until: number }[];
}

/** Which of the manifests go, and which are held by time alone: since their push, a promise to a client, their last tag, their subject. */
export function* reviewManifests(
  entries: readonly { readonly id: number }[],
  rules: CollectionRules,
  now: number,
): Transaction<ManifestFindings> {
  if (entries.length === 0) return { garbage: [], held: [] };
  const ids = idsOf(entries);
  const found = yield* rowsOf(locked([lockManifests(ids)], bound(UNREFERENCED_MANIFESTS, ids, rules.untagged ? 1 : 0)));
  const reviewed = found.map(
    ({
      orphanedAt = -Infinity,
      lastTagged = -Infinity,
      lastRemoved = -Infinity,
      pushedAt,
      touchedAt,
      ...manifest
    }) => ({
      ...manifest,
      until: Math.max(
        pushedAt + rules.freshMs,
        touchedAt + rules.leaseMs,
        Math.max(lastTagged, lastRemoved) + rules.undoMs,
        orphanedAt + rules.undoMs,
      ),
    }),
  );
  return {
    garbage: reviewed.filter(({ until }) => until <= now),
    held: reviewed.filter(({ until }) => until > now),
  };
}
