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
import {
  BLOB_IS_GARBAGE,
  BLOB_IS_GARBAGE_WITHOUT_LINKS,
  IN_REPOSITORIES,
  LINK_IS_GARBAGE,
  NAMED,
  digestsOf,
  pairsOf,
  reviewManifests,
  valuesFor,
} from "./garbage.ts";
import type { QueuePosition } from "./garbage.ts";
import { rows } from "./sql.ts";
import type { Transaction } from "./sql.ts";

/** A page of what collection would take. */
export interface CollectionPreview {
  readonly found: readonly Collectable[];
  /** Blobs that lose the last of very many links, if all of those go: `links` says so. */
  readonly undecided: readonly Collectable[];
  /**
   * Blobs that no repository shows any more and that go by an entry of such a repository. There may be more such entries, on
   * other pages: the caller counts each blob once.
   */
  readonly repeatable: readonly Collectable[];
  readonly next: QueuePosition | undefined;
}

/** Links of a blob that are looked at together with the blob. */
const FEW_LINKS = 50;

const LINKS = query(
  { digest, name: optional(repositoryName), size: integer, isLast: truth },
  `
  select l.digest, case when r.name < '~' then r.name end as name, b.size,
    not exists (select 1 from repo_blob later where later.digest = l.digest and later.repo > l.repo) as is_last
  from repo_blob l join repo r on r.id = l.repo join blob b on b.digest = l.digest
  where (l.repo, l.digest) in ${IN_REPOSITORIES} and ${LINK_IS_GARBAGE}`,
);

/** The link `l` stays; one that is not in the queue is not looked at. */
const LINK_STAYS = `
  not (${LINK_IS_GARBAGE} and exists (
    select 1 from gc_queue q where q.kind = 'link' and q.repo = l.repo and q.digest = l.digest))`;

const BLOBS_LOSING_LINKS = query(
  { digest, size: integer, hasMore: truth },
  `
  select b.digest, b.size,
    exists (select 1 from repo_blob l where l.digest = b.digest limit 1 offset ${FEW_LINKS}) as has_more
  from blob b where b.digest in ${NAMED} and ${BLOB_IS_GARBAGE_WITHOUT_LINKS}
  and not exists (
    select 1 from (
      select few.repo, few.digest, few.touched_at, few.unref_at from repo_blob few
      where few.digest = b.digest order by few.repo limit ${FEW_LINKS}
    ) l where ${LINK_STAYS})`,
);

const LINKS_OF_BLOB = query(
  { repo: integer, stays: truth },
  `
  select l.repo, ${LINK_STAYS} as stays from repo_blob l
  where l.digest = $1 and l.repo > $5 order by l.repo limit $6`,
);

const BLOBS = query(
  { digest, size: integer },
  `select b.digest, b.size from blob b where b.digest in ${NAMED} and ${BLOB_IS_GARBAGE}`,
);

const BLOBS_NOT_QUEUED = query(
  { digest, size: integer },
  `
  select b.digest, b.size from blob b where b.digest in ${NAMED} and ${BLOB_IS_GARBAGE}
  and not exists (select 1 from gc_queue q where q.kind = 'blob' and q.repo = 0 and q.digest = b.digest)`,
);

const QUEUED_MANIFESTS = query(
  { repo: integer, digest },
  `select q.repo, q.digest from gc_queue q where q.kind = 'manifest' and (q.repo, q.digest) in ${IN_REPOSITORIES}`,
);

function blobOf({ digest: named, size }: { readonly digest: Digest; readonly size: number }): Collectable {
  return { kind: "blob", repository: undefined, digest: named, size };
}

function* previewEntries(
  entries: readonly QueuePosition[],
  rules: CollectionRules,
  now: number,
): Transaction<Omit<CollectionPreview, "next">> {
  const of = (kind: QueuePosition["kind"]): readonly QueuePosition[] => entries.filter((entry) => entry.kind === kind);
  const [links, blobs, manifests] = [of("link"), of("blob"), of("manifest")];
  const [found, undecided, repeatable]: [Collectable[], Collectable[], Collectable[]] = [[], [], []];
  if (links.length > 0) {
    const going = yield* rows(LINKS, ...valuesFor(pairsOf(links), rules, now));
    for (const { name, digest: blob, size } of going) {
      found.push({ kind: "link", repository: name, digest: blob, size });
    }
    const last = going.filter(({ isLast }) => isLast);
    for (const blob of yield* rows(BLOBS_LOSING_LINKS, ...valuesFor(digestsOf(last), rules, now))) {
      (blob.hasMore ? undecided : found).push(blobOf(blob));
    }
    const goingBlobs = new Set(going.map(({ digest: blob }) => blob));
    const others = links.filter(({ digest: blob }) => !goingBlobs.has(blob));
    const withoutLinks =
      others.length === 0 ? [] : yield* rows(BLOBS_NOT_QUEUED, ...valuesFor(digestsOf(others), rules, now));
    repeatable.push(...withoutLinks.map(blobOf));
  }
  if (blobs.length > 0) {
    found.push(...(yield* rows(BLOBS, ...valuesFor(digestsOf(blobs), rules, now))).map(blobOf));
  }
  const { garbage } = yield* reviewManifests(manifests, rules, now);
  for (const { name, digest: manifest, size } of garbage) {
    found.push({ kind: "manifest", repository: name, digest: manifest, size });
  }
  return { found, undecided, repeatable };
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
      const untagged = manifests.filter(({ isTagged }) => !isTagged);
      const queued = new Set(
        (yield* rows(QUEUED_MANIFESTS, pairsOf(untagged))).map(({ repo, digest: named }) => `${repo} ${named}`),
      );
      const entries = untagged.filter(({ repo, digest: named }) => !queued.has(`${repo} ${named}`));
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
      const links = yield* rows(LINKS_OF_BLOB, ...valuesFor(blob, rules, clock.now()), after, limit);
      const next = links.length < limit ? undefined : links.at(-1)?.repo;
      return { stays: links.some(({ stays }) => stays), next };
    });
  }
}
