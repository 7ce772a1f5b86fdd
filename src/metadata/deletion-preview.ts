/**
 * What a deletion of manifests would leave to collection: what follows them, and which bytes nothing else needs. Statements that
 * only read, so that a preview keeps no writer out.
 */
import type { Digest } from "../oci/digest.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import { digest, integer, query, truth } from "./columns.ts";
import type { Database } from "./database.ts";
import { listedDigests } from "./digest-bytes.ts";
import { IDS } from "./garbage.ts";
import { holdOnManifest } from "./holds.ts";
import type { Hold } from "./holds.ts";
import { findManifest, findRepository } from "./repositories.ts";
import { listedIds, rows } from "./sql.ts";
import type { Transaction } from "./sql.ts";

/** A manifest that goes, or follows one that does. */
export interface GoingManifest {
  readonly id: number;
  readonly digest: Digest;
  /** Bytes of the manifest itself. */
  readonly size: number;
}

export interface DeletionPreview {
  /** Those that are there and that nothing keeps. */
  readonly manifests: readonly GoingManifest[];
  /** Manifests of indexes that nothing else needs. */
  readonly children: readonly GoingManifest[];
  /** Referrers without a tag: signatures, attestations. */
  readonly referrers: readonly GoingManifest[];
  /** Of all these, and of blobs that nothing else needs. */
  readonly freedBytes: number;
  /** Of blobs that other manifests, or other repositories, need too. */
  readonly keptBytes: number;
  /** False when there is more than was looked at. */
  readonly isComplete: boolean;
}

const MANIFEST = { id: integer, digest, size: integer };

const NAMED = query(
  MANIFEST,
  `
  select m.id, m.digest, m.size from repo r join manifest m on m.repo = r.id
  where r.name = $1 and m.digest in (select unhex(value) from json_each($2))`,
);

/** Those of the manifests that are pinned, or that an index lists which is none of them. */
const HELD = query(
  { id: integer },
  `
  select m.id from manifest m where m.id in ${IDS} and (exists (select 1 from pin p where p.manifest = m.id)
    or exists (
      select 1 from manifest_child o where o.repo = m.repo and o.child = m.digest and o.parent not in ${IDS}))`,
);

/** Of an index that goes. Each has its other parents. */
const CHILDREN = query(
  { ...MANIFEST, isHeld: truth },
  `
  select m.id, m.digest, m.size,
    (exists (select 1 from tag_count t where t.manifest = m.id) or exists (select 1 from pin p where p.manifest = m.id)
      or exists (
        select 1 from manifest_child o where o.repo = m.repo and o.child = m.digest and o.parent not in ${IDS})) as is_held
  from manifest m
  where m.repo = $2 and m.digest in (select c.child from manifest_child c where c.parent in ${IDS}) limit $3`,
);

const REFERRERS = query(
  { ...MANIFEST, isHeld: truth },
  `
  select m.id, m.digest, m.size,
    (exists (select 1 from tag_count t where t.manifest = m.id) or exists (select 1 from pin p where p.manifest = m.id)) as is_held
  from manifest s join manifest m on m.repo = s.repo and m.subject = s.digest
  where s.id in ${IDS} limit $2`,
);

/** Asked for each blob by itself: PostgreSQL reads a whole table at once to answer `exists` for some of its rows. */
const BLOBS = query(
  { size: integer, isNeeded: truth },
  `
  select b.size,
    ((select 1 from manifest_blob o where o.blob = b.id and o.repo = $2 and o.manifest not in ${IDS} limit 1) is not null
      or (select 1 from repo_blob l where l.blob = b.id and l.repo <> $2 limit 1) is not null) as is_needed
  from blob b where b.id in (select e.blob from manifest_blob e where e.manifest in ${IDS}) limit $3`,
);

/** Manifests that are followed, and blobs that are added up. */
const [MAX_MANIFESTS, MAX_BLOBS] = [2000, 20_000];

/** Without those that are held: what one of them holds is held too. Those of `certain` go whatever needs them. */
function* withoutHeld(
  found: readonly GoingManifest[],
  certain: ReadonlySet<Digest>,
): Transaction<readonly GoingManifest[]> {
  for (let going = found; ;) {
    const held = new Set((yield* rows(HELD, listedIds(going.map(({ id }) => id)))).map(({ id }) => id));
    const left = going.filter(({ id, digest: of }) => !held.has(id) || certain.has(of));
    if (left.length === going.length) return going;
    going = left;
  }
}

/** What goes with the manifests. */
function* follow(
  repo: number,
  named: readonly GoingManifest[],
): Transaction<Pick<DeletionPreview, "children" | "referrers" | "isComplete">> {
  const going = new Set(named.map(({ id }) => id));
  const [children, referrers]: [GoingManifest[], GoingManifest[]] = [[], []];
  let frontier = [...going];
  while (frontier.length > 0 && going.size <= MAX_MANIFESTS) {
    const next: number[] = [];
    const add = (found: GoingManifest & { readonly isHeld: boolean }, to: GoingManifest[]): void => {
      if (found.isHeld || going.has(found.id)) return;
      going.add(found.id);
      to.push({ id: found.id, digest: found.digest, size: found.size });
      next.push(found.id);
    };
    for (const each of yield* rows(CHILDREN, listedIds([...going]), repo, MAX_MANIFESTS)) add(each, children);
    for (const each of yield* rows(REFERRERS, listedIds(frontier), MAX_MANIFESTS)) add(each, referrers);
    frontier = next;
  }
  return { children, referrers, isComplete: going.size <= MAX_MANIFESTS };
}

export class DeletionPreviews {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /**
   * What deleting manifests, with all that follows them, would free: those that are named, and those that lose their last tag,
   * unless an index that stays lists them or they are pinned.
   */
  manifests(
    name: RepositoryName,
    named: readonly Digest[],
    untagged: readonly Digest[] = [],
  ): Promise<DeletionPreview> {
    return this.#database.engine.read(function* (): Transaction<DeletionPreview> {
      const repo = yield* findRepository(name);
      const found = repo === undefined ? [] : yield* rows(NAMED, name, listedDigests([...named, ...untagged]));
      const manifests = yield* withoutHeld(found, new Set(named));
      if (repo === undefined || manifests.length === 0) return NOTHING;
      const followers = yield* follow(repo, manifests);
      const all = [...manifests, ...followers.children, ...followers.referrers];
      const blobs = yield* rows(BLOBS, listedIds(all.map(({ id }) => id)), repo, MAX_BLOBS);
      const bytesOf = (needed: boolean): number =>
        blobs.reduce((sum, { size, isNeeded }) => (isNeeded === needed ? sum + size : sum), 0);
      return {
        manifests,
        ...followers,
        freedBytes: all.reduce((sum, { size }) => sum + size, bytesOf(false)),
        keptBytes: bytesOf(true),
        isComplete: followers.isComplete && blobs.length < MAX_BLOBS,
      };
    });
  }

  /** What keeps a manifest from being deleted, where tags that match one of `patterns` are immutable. */
  hold(name: RepositoryName, manifest: Digest, patterns: readonly string[]): Promise<Hold | undefined> {
    return this.#database.engine.read(function* (): Transaction<Hold | undefined> {
      const repo = yield* findRepository(name);
      const id = repo === undefined ? undefined : yield* findManifest(repo, manifest);
      return repo === undefined || id === undefined ? undefined : yield* holdOnManifest(repo, id, patterns);
    });
  }
}

const NOTHING: DeletionPreview = {
  manifests: [],
  children: [],
  referrers: [],
  freedBytes: 0,
  keptBytes: 0,
  isComplete: true,
};
