/**
 * A dry run of garbage collection: the conditions of `garbage.ts` in statements that only read, page by page, so that it keeps
 * no writer out. Each page is what a step of `collection.ts` would take at that moment, and a blob counts with the last link
 * that it loses. What that step would enqueue is not in it: what a manifest that goes has held goes later.
 */
import type { Digest } from "../oci/digest.ts";
import { digest, integer, optional, query, repositoryName, truth } from "./columns.ts";
import { entriesAfter, manifestsAfter, nextOf } from "./collection.ts";
import type { Collectable } from "./collection.ts";
import type { CollectionRules, Database } from "./database.ts";
import { digestBytes } from "./digest-bytes.ts";
import {
  BLOB_IS_GARBAGE,
  BLOB_IS_GARBAGE_WITHOUT_LINKS,
  IDS,
  LINKS,
  LINK_IS_GARBAGE,
  idsOf,
  pairsOf,
  reviewManifests,
  valuesFor,
} from "./garbage.ts";
import type { QueueEntry, QueuePosition } from "./garbage.ts";
import { rows } from "./sql.ts";
import type { Transaction } from "./sql.ts";

/** A page of what collection would take. */
export interface CollectionPreview {
  readonly found: readonly Collectable[];
  /** Blobs that lose the last of very many links, if all of those go: `links` says so. */
  readonly undecided: readonly Collectable[];
  readonly next: QueuePosition | undefined;
}

/** Links of a blob that are looked at together with the blob. */
const FEW_LINKS = 50;

const GARBAGE_LINKS = query(
  { id: integer, digest, name: optional(repositoryName), size: integer, isLast: truth },
  `
  select b.id, b.digest, case when r.name < '~' then r.name end as name, b.size,
    not exists (select 1 from repo_blob later where later.blob = l.blob and later.repo > l.repo) as is_last
  from repo_blob l join repo r on r.id = l.repo join blob b on b.id = l.blob
  where (l.repo, l.blob) in ${LINKS} and ${LINK_IS_GARBAGE}`,
);

/** The link `l` stays; one that is not in the queue is not looked at. */
const LINK_STAYS = `not (l.review_after is not null and ${LINK_IS_GARBAGE})`;

const BLOBS_LOSING_LINKS = query(
  { digest, size: integer, hasMore: truth },
  `
  select b.digest, b.size,
    exists (select 1 from repo_blob l where l.blob = b.id limit 1 offset ${FEW_LINKS}) as has_more
  from blob b where b.id in ${IDS} and ${BLOB_IS_GARBAGE_WITHOUT_LINKS}
  and not exists (
    select 1 from (
      select few.repo, few.blob, few.touched_at, few.unref_at, few.review_after from repo_blob few
      where few.blob = b.id order by few.repo limit ${FEW_LINKS}
    ) l where ${LINK_STAYS})`,
);

const LINKS_OF_BLOB = query(
  { repo: integer, stays: truth },
  `
  select l.repo, ${LINK_STAYS} as stays from blob b join repo_blob l on l.blob = b.id
  where b.digest = $1 and l.repo > $5 order by l.repo limit $6`,
);

const GARBAGE_BLOBS = query(
  { digest, size: integer },
  `select b.digest, b.size from blob b where b.id in ${IDS} and ${BLOB_IS_GARBAGE}`,
);

function blobOf({ digest: named, size }: { readonly digest: Digest; readonly size: number }): Collectable {
  return { kind: "blob", repository: undefined, digest: named, size };
}

function* previewEntries(
  entries: readonly QueueEntry[],
  rules: CollectionRules,
  now: number,
): Transaction<Omit<CollectionPreview, "next">> {
  const of = (kind: QueueEntry["kind"]): readonly QueueEntry[] => entries.filter((entry) => entry.kind === kind);
  const [links, blobs, manifests] = [of("link"), of("blob"), of("manifest")];
  const [found, undecided]: [Collectable[], Collectable[]] = [[], []];
  if (links.length > 0) {
    const going = yield* rows(GARBAGE_LINKS, ...valuesFor(pairsOf(links), rules, now));
    for (const { name, digest: blob, size } of going) {
      found.push({ kind: "link", repository: name, digest: blob, size });
    }
    const last = going.filter(({ isLast }) => isLast);
    for (const blob of yield* rows(BLOBS_LOSING_LINKS, ...valuesFor(idsOf(last), rules, now))) {
      (blob.hasMore ? undecided : found).push(blobOf(blob));
    }
  }
  if (blobs.length > 0) {
    found.push(...(yield* rows(GARBAGE_BLOBS, ...valuesFor(idsOf(blobs), rules, now))).map(blobOf));
  }
  const { garbage } = yield* reviewManifests(manifests, rules, now);
  for (const { name, digest: manifest, size } of garbage) {
    found.push({ kind: "manifest", repository: name, digest: manifest, size });
  }
  return { found, undecided };
}

export class CollectionPreviews {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** What `collect` would take now of the next `limit` entries of the queue. */
  queue(rules: CollectionRules, from: QueuePosition | undefined, limit: number): Promise<CollectionPreview> {
    const { engine, clock } = this.#database;
    return engine.read(function* (): Transaction<CollectionPreview> {
      const entries = yield* entriesAfter(from, limit);
      return { ...(yield* previewEntries(entries, rules, clock.now())), next: nextOf(entries, limit) };
    });
  }

  /** What `collect` would take now of the next `limit` manifests that no tag points at and that are not in the queue. */
  untagged(rules: CollectionRules, from: QueuePosition | undefined, limit: number): Promise<CollectionPreview> {
    const { engine, clock } = this.#database;
    return engine.read(function* (): Transaction<CollectionPreview> {
      const manifests = yield* manifestsAfter(from, limit);
      const entries = manifests.filter(({ isTagged, isQueued }) => !isTagged && !isQueued);
      return { ...(yield* previewEntries(entries, rules, clock.now())), next: nextOf(manifests, limit) };
    });
  }

  /**
   * Whether one of the next `limit` links of a blob stays; else where to go on, undefined when all links of the blob were looked
   * at: then it loses all.
   */
  links(
    rules: CollectionRules,
    blob: Digest,
    after: number,
    limit: number,
  ): Promise<{ readonly stays: boolean; readonly next: number | undefined }> {
    const { engine, clock } = this.#database;
    return engine.read(function* () {
      const links = yield* rows(
        LINKS_OF_BLOB,
        digestBytes(blob),
        ...valuesFor("", rules, clock.now()).slice(1),
        after,
        limit,
      );
      const next = links.length < limit ? undefined : links.at(-1)?.repo;
      return { stays: links.some(({ stays }) => stays), next };
    });
  }
}
