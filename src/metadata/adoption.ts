/**
 * Adoption: facts that another registry's tree of files holds become rows, while clients pull and push. What is here already wins over
 * the tree, and a repository that is done is not read from it again: so nothing comes back that a client has deleted.
 */
import type { Digest } from "../oci/digest.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import type { Tag } from "../oci/tag.ts";
import { digest, integer, optional, query, repositoryName, text, truth, word } from "./columns.ts";
import { digestBytes, digestHex, listedDigests } from "./digest-bytes.ts";
import { leaseAfter } from "./database.ts";
import type { Database } from "./database.ts";
import { lockNamed, lockTags, shareNamed } from "./locks.ts";
import { beginRepository, findRepository } from "./repositories.ts";
import type { ListedRepository, RepositoryRange } from "./repositories.ts";
import { moveRepository } from "./revisions.ts";
import { any, batch, bound, first, locked, rows, rowsOf, run, statement } from "./sql.ts";
import type { Statement, Transaction } from "./sql.ts";

/** What is being adopted: the names of repositories, what is in them, blobs of no repository; then every tag is checked. */
export type AdoptionPhase = "names" | "repositories" | "blobs" | "tags" | "done";

export interface AdoptionProgress {
  readonly phase: AdoptionPhase;
  /** Repositories that were found so far, and how many of them are still to be read. */
  readonly repositories: number;
  readonly openRepositories: number;
  readonly manifests: number;
  readonly tags: number;
  readonly blobs: number;
  readonly findings: number;
  /** Milliseconds since 1970. */
  readonly begunAt: number;
  readonly doneAt: number | undefined;
}

/** What is wrong in a tree; docs/migrating.md says what each means. */
export type AdoptionFindingKind =
  | "bad name"
  | "bad link"
  | "missing link"
  | "missing revision"
  | "missing bytes"
  | "wrong content"
  | "bad manifest"
  | "schema 1"
  | "missing manifest"
  | "missing blob"
  | "unsupported digest"
  | "unreadable";

export interface AdoptionFinding {
  readonly kind: AdoptionFindingKind;
  /** Empty for what belongs to none. */
  readonly repository: string;
  /** The tag, digest or path that it is about. */
  readonly subject: string;
  /** Why, for a person. */
  readonly detail: string;
}

export interface AdoptedBlob {
  readonly digest: Digest;
  readonly size: number;
  readonly storageKey: string;
  readonly fingerprint: string;
  readonly createdAt: number;
  /** False when its bytes are known to be corrupt. */
  readonly isIntact: boolean;
}

export interface AdoptedManifest {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly artifactType: string | undefined;
  readonly subject: string | undefined;
  /** A JSON object's text. */
  readonly annotations: string | undefined;
  readonly payload: Uint8Array;
  readonly pushedAt: number;
  /** Blobs that it names, linked in the repository or not, and manifests. */
  readonly blobs: readonly string[];
  readonly children: readonly string[];
  /** Those of the blobs that the repository does not link. */
  readonly unlinked: readonly string[];
}

export interface AdoptedTag {
  readonly name: Tag;
  readonly digest: Digest;
  readonly updatedAt: number;
}

/** Some of a repository. Its blobs are linked in it. */
export interface AdoptedPart {
  readonly blobs: readonly AdoptedBlob[];
  readonly manifests: readonly AdoptedManifest[];
  readonly tags: readonly AdoptedTag[];
  readonly findings: readonly AdoptionFinding[];
  /** Whether all of the repository is adopted with this part. */
  readonly isLast: boolean;
}

/** Bytes in the tree that no repository shows. */
export interface LooseBlobs {
  readonly blobs: readonly AdoptedBlob[];
  /** Keys of files whose digest lies under another key by now. */
  readonly redundant: readonly string[];
  readonly findings: readonly AdoptionFinding[];
}

/** The lock of an adoption: transactions that add something share it, and the end waits for them. */
const ADOPTING = "adoption";

const PHASE = word<AdoptionPhase>("names", "repositories", "blobs", "tags", "done");

const FIND_PHASE = query({ phase: PHASE, position: text }, `select phase, position from adoption where id = 1`);

const HAS_CONTENT = `
  select 1 as found where exists (select 1 from repo) or exists (select 1 from blob)`;

const BEGIN = `insert into adoption (id, phase, begun_at) values (1, 'names', $1) on conflict (id) do nothing`;

const GO_TO = `update adoption set phase = $1, position = $2 where id = 1`;

const END_NAMES = `update adoption set phase = 'repositories', position = '' where id = 1 and phase = 'names'`;

const END = `update adoption set phase = 'done', position = '', done_at = $1 where id = 1`;

const COUNT = `update adoption set manifests = manifests + $1, tags = tags + $2, blobs = blobs + $3 where id = 1`;

const PROGRESS = query(
  {
    phase: PHASE,
    manifests: integer,
    tags: integer,
    blobs: integer,
    begunAt: integer,
    doneAt: optional(integer),
    repositories: integer,
    openRepositories: integer,
    findings: integer,
  },
  `
  select phase, manifests, tags, blobs, begun_at, done_at,
    (select count(*) from adopted_repository) as repositories,
    (select count(*) from adopted_repository where done = 0) as open_repositories,
    (select count(*) from adoption_finding) as findings
  from adoption where id = 1`,
);

const NAME_REPOSITORIES = `
  insert into adopted_repository (name, has_manifests, done)
  select value ->> 0, cast(value ->> 1 as bigint), 0 from json_each($1) where true on conflict (name) do nothing`;

const IS_DONE = `select 1 as found from adopted_repository where name = $1 and done = 1`;

const OPEN = query(
  { name: repositoryName },
  `select name from adopted_repository where done = 0 and name > $1 order by name limit $2`,
);

const OPEN_IN_RANGE = query(
  { name: repositoryName, hasManifests: truth },
  `
  select name, has_manifests from adopted_repository where done = 0 and name >= $1 and name < $2 order by name limit $3`,
);

const NAMES_AFTER = query(
  { name: repositoryName },
  `select name from adopted_repository where name > $1 order by name limit $2`,
);

const END_REPOSITORY = `
  insert into adopted_repository (name, has_manifests, done) values ($1, 0, 1) on conflict (name) do update set done = 1`;

const ADD_BLOBS = `
  insert into blob (digest, size, storage_key, fingerprint, state, created_at, touched_at, unref_at, review_after)
  select unhex(value ->> 0), cast(value ->> 1 as bigint), value ->> 2, value ->> 3, value ->> 4,
    cast(value ->> 5 as bigint), $2, $2, $3 from json_each($1) where true
  on conflict (digest) do nothing`;

const LINK = `
  insert into repo_blob (repo, blob, touched_at, unref_at)
  select $1, b.id, $3, $3 from json_each($2) cross join blob b on b.digest = unhex(value) where true
  on conflict (repo, blob) do nothing`;

/** Of blobs that no manifest of the repository needs: garbage collection looks at them later. */
const ENQUEUE_LINKS = `
  update repo_blob set review_after = $3
  where repo = $1 and blob in (select b.id from json_each($2) cross join blob b on b.digest = unhex(value))
    and not exists (select 1 from manifest_blob e where e.blob = repo_blob.blob and e.repo = $1)`;

const ADD_MANIFEST = `
  insert into manifest (repo, digest, media_type, artifact_type, subject, size, annotations, pushed_at, touched_at, payload)
  values ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9) on conflict (repo, digest) do nothing`;

/** Each of these statements takes pairs of a manifest of the repository and what it names. */
const NAMED_BY_MANIFESTS = `
  json_each($2) cross join manifest m on m.repo = $1 and m.digest = unhex(value ->> 0)`;

const NEED_BLOBS = `
  insert into manifest_blob (manifest, blob, repo)
  select m.id, b.id, $1 from ${NAMED_BY_MANIFESTS} cross join blob b on b.digest = unhex(value ->> 1)
  where exists (select 1 from repo_blob l where l.repo = $1 and l.blob = b.id)
  on conflict (manifest, blob) do nothing`;

const NEED_CHILDREN = `
  insert into manifest_child (parent, child, repo)
  select m.id, unhex(value ->> 1), $1 from ${NAMED_BY_MANIFESTS} where true on conflict (parent, child) do nothing`;

const MISS = `
  insert into manifest_missing (manifest, digest, repo)
  select m.id, unhex(value ->> 1), $1 from ${NAMED_BY_MANIFESTS}
  where not exists (
      select 1 from blob b join repo_blob l on l.repo = $1 and l.blob = b.id where b.digest = unhex(value ->> 1))
    and not exists (select 1 from manifest x where x.repo = $1 and x.digest = unhex(value ->> 1))
  on conflict (manifest, digest) do nothing`;

/** Manifests that came before what they name. */
const AWAITING = query(
  { manifest: digest, blob: digest },
  `
  select m.digest as manifest, x.digest as blob from manifest_missing x join manifest m on m.id = x.manifest
  where x.repo = $1 and x.digest in (select unhex(value) from json_each($2))`,
);

const NOT_MISSING = `
  delete from manifest_missing where repo = $1 and digest in (select unhex(value) from json_each($2))`;

const PRESENT_MANIFESTS = query(
  { digest },
  `select digest from manifest where repo = $1 and digest in (select unhex(value) from json_each($2))`,
);

/** Tags whose manifests are here, unless the repository has or had such a tag. */
const ADD_TAGS = `
  insert into tag (repo, name, manifest, since, updated_at)
  select $1, value ->> 0, m.id, cast(value ->> 2 as bigint), cast(value ->> 2 as bigint)
  from json_each($2) cross join manifest m on m.repo = $1 and m.digest = unhex(value ->> 1)
  where not exists (select 1 from tag_history h where h.repo = $1 and h.name = value ->> 0)
  on conflict (repo, name) do nothing returning name`;

const ADD_FINDING = `
  insert into adoption_finding (repository, kind, subject, detail)
  select value ->> 0, value ->> 1, value ->> 2, value ->> 3 from json_each($1) where true
  on conflict (repository, kind, subject) do nothing`;

const FINDINGS = query(
  { repository: text, kind: text, subject: text, detail: text },
  `
  select repository, kind, subject, detail from adoption_finding where (repository, kind, subject) > ($1, $2, $3)
  order by repository, kind, subject limit $4`,
);

const KEYS = query(
  { digest, storageKey: optional(text) },
  `select digest, storage_key from blob where digest in (select unhex(value) from json_each($1))`,
);

const DISCARD = `
  insert into trash (storage_key, after) select value, $2 from json_each($1)
  where not exists (select 1 from blob where storage_key = value) on conflict (storage_key) do nothing`;

const FORGET_REPOSITORIES = `
  delete from adopted_repository where name in (select name from adopted_repository order by name limit $1) returning name`;

const LINKED_BLOBS = query(
  { id: integer, digest },
  `
  select b.id, b.digest from repo r join repo_blob l on l.repo = r.id join blob b on b.id = l.blob
  where r.name = $1 and l.blob > $2 order by l.blob limit $3`,
);

const SUBJECTS_IN = query({ subject: text }, `select subject from adoption_finding where repository = $1 limit $2`);

/** A blob that a repository shows; ids grow in the order in which blobs came. */
export interface LinkedBlob {
  readonly id: number;
  readonly digest: Digest;
}

export class Adoptions {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Begins to adopt a tree, unless something is here already. Returns the phase; undefined when no tree is being adopted. */
  begin(): Promise<AdoptionPhase | undefined> {
    const { engine, clock } = this.#database;
    return engine.write(function* (): Transaction<AdoptionPhase | undefined> {
      const found = yield* first(FIND_PHASE);
      if (found) return found.phase;
      if (yield* any(HAS_CONTENT)) return undefined;
      yield* run(BEGIN, clock.now());
      return "names";
    });
  }

  /** Whether a repository or a blob is here. */
  hasContent(): Promise<boolean> {
    return this.#database.engine.read(() => any(HAS_CONTENT));
  }

  /** Returns the phase and where it goes on; undefined when no tree was ever adopted. */
  phase(): Promise<{ readonly phase: AdoptionPhase; readonly position: string } | undefined> {
    return this.#database.engine.read(() => first(FIND_PHASE));
  }

  /** Returns undefined when no tree was ever adopted. It counts repositories and findings. */
  progress(): Promise<AdoptionProgress | undefined> {
    return this.#database.engine.read(() => first(PROGRESS));
  }

  /** Goes on to a phase, or within it. Durable after `flush`, as all steps of an adoption are: each can be made again. */
  goTo(phase: Exclude<AdoptionPhase, "done">, position: string = ""): Promise<void> {
    return this.#database.engine.write(() => run(GO_TO, phase, position), "soon");
  }

  /** Ends the phase in which names are recorded, once. */
  endNames(): Promise<void> {
    return this.#database.engine.write(() => run(END_NAMES), "soon");
  }

  /** Ends the adoption: nothing is looked up in the tree from then on. */
  end(): Promise<void> {
    const { engine, clock } = this.#database;
    return engine.write(function* (): Transaction<void> {
      yield { ...statement(END, clock.now()), ignoresRows: true, locks: [lockNamed(ADOPTING)] };
    });
  }

  /** Removes some of the names that were needed while the tree was adopted; returns how many. */
  forgetNames(limit: number): Promise<number> {
    return this.#database.engine.write(function* (): Transaction<number> {
      return ((yield statement(FORGET_REPOSITORIES, limit)) as readonly unknown[]).length;
    }, "soon");
  }

  /** Records repositories of the tree, which lists show from then on. */
  nameRepositories(found: readonly ListedRepository[], findings: readonly AdoptionFinding[]): Promise<void> {
    const names = JSON.stringify(found.map(({ name, hasManifests }) => [name, hasManifests ? 1 : 0]));
    return this.#database.engine.write(function* (): Transaction<void> {
      yield* run(NAME_REPOSITORIES, names);
      yield* addFindings(findings);
    }, "soon");
  }

  /** Whether all of a repository is adopted. */
  isDone(name: RepositoryName): Promise<boolean> {
    return this.#database.engine.read(() => any(IS_DONE, name));
  }

  /** Repositories that are not done, in byte order. */
  async open(after: string, limit: number): Promise<readonly RepositoryName[]> {
    return (await this.#database.engine.read(() => rows(OPEN, after, limit))).map(({ name }) => name);
  }

  /** As `Repositories.list`, those that are not done. */
  openIn({ from = "", until = "~", limit }: RepositoryRange): Promise<readonly ListedRepository[]> {
    return this.#database.engine.read(() => rows(OPEN_IN_RANGE, from, until, limit));
  }

  /** All repositories of the tree, in byte order. */
  async names(after: string, limit: number): Promise<readonly RepositoryName[]> {
    return (await this.#database.engine.read(() => rows(NAMES_AFTER, after, limit))).map(({ name }) => name);
  }

  /** Those of the digests that are manifests of the repository already. */
  async presentManifests(name: RepositoryName, digests: readonly Digest[]): Promise<ReadonlySet<Digest>> {
    const found = await this.#database.engine.read(function* (): Transaction<readonly { digest: Digest }[]> {
      const repo = yield* findRepository(name);
      return repo === undefined ? [] : yield* rows(PRESENT_MANIFESTS, repo, listedDigests(digests));
    });
    return new Set(found.map((each) => each.digest));
  }

  /** Adds a part of a repository. Returns false, and changes nothing, when the repository or all was done before. */
  adopt(name: RepositoryName, part: AdoptedPart): Promise<boolean> {
    const database = this.#database;
    return database.engine.write(function* (): Transaction<boolean> {
      // Otherwise what a client deleted once all was added might come back, by a transaction that began before.
      const [adoption] = yield* rowsOf(
        locked([shareNamed(ADOPTING), lockNamed(`${ADOPTING} ${name}`)], bound(FIND_PHASE)),
      );
      if (!adoption || adoption.phase === "done" || (yield* any(IS_DONE, name))) return false;
      yield* addPart(database, name, part);
      if (part.isLast) yield* run(END_REPOSITORY, name);
      return true;
    }, "soon");
  }

  /** Where blobs of these digests lie; those that are not here are left out, and inline ones have no key. */
  async keys(digests: readonly Digest[]): Promise<ReadonlyMap<Digest, string | undefined>> {
    const found = await this.#database.engine.read(() => rows(KEYS, listedDigests(digests)));
    return new Map(found.map(({ digest: blob, storageKey }) => [blob, storageKey]));
  }

  /** Adds blobs that no repository shows, for garbage collection to look at, and discards files that nothing names. */
  addLoose({ blobs, redundant, findings }: LooseBlobs): Promise<void> {
    const database = this.#database;
    const now = database.clock.now();
    return database.engine.write(function* (): Transaction<void> {
      yield* addBlobs(blobs, now, reviewTime(database, now));
      if (redundant.length > 0) yield* run(DISCARD, JSON.stringify(redundant), now);
      yield* addFindings(findings);
      yield* run(COUNT, 0, 0, blobs.length);
    }, "soon");
  }

  /** Has files of the tree unlinked after a time. */
  discard(keys: readonly string[], after: number): Promise<void> {
    return this.#database.engine.write(() => run(DISCARD, JSON.stringify(keys), after), "soon");
  }

  addFindings(findings: readonly AdoptionFinding[]): Promise<void> {
    return this.#database.engine.write(() => addFindings(findings), "soon");
  }

  /** Blobs that a repository shows, corrupt or not, behind the one with the id `after`. */
  linkedBlobs(name: RepositoryName, after: number, limit: number): Promise<readonly LinkedBlob[]> {
    return this.#database.engine.read(() => rows(LINKED_BLOBS, name, after, limit));
  }

  /** What was found damaged in a repository, at most `limit`. */
  async findingsIn(name: RepositoryName, limit: number): Promise<ReadonlySet<string>> {
    const found = await this.#database.engine.read(() => rows(SUBJECTS_IN, name, limit));
    return new Set(found.map(({ subject }) => subject));
  }

  /** Findings in order of repository, kind and subject, behind one of them. */
  async findings(after: AdoptionFinding | undefined, limit: number): Promise<readonly AdoptionFinding[]> {
    const { repository = "", kind = "", subject = "" } = after ?? {};
    const found = await this.#database.engine.read(() => rows(FINDINGS, repository, kind, subject, limit));
    return found.map((row) => ({ ...row, kind: row.kind as AdoptionFindingKind }));
  }
}

/** Blobs that nothing needs are kept for the time to undo: an operator has to see first what was damaged, and why. */
function reviewTime(database: Database, now: number): number {
  return Math.max(leaseAfter(database, now), now + database.periods.undoMs);
}

function* addPart(database: Database, name: RepositoryName, part: AdoptedPart): Transaction<void> {
  const { blobs, manifests, tags, findings } = part;
  yield* addFindings(findings);
  if (blobs.length + manifests.length + tags.length === 0) return;
  const now = database.clock.now();
  const repo = yield* beginRepository(name, now);
  const digests = listedDigests(blobs.map((blob) => blob.digest));
  if (blobs.length > 0) {
    yield* addBlobs(blobs, now, null);
    yield* run(LINK, repo, digests, now);
  }
  if (manifests.length > 0) yield* addManifests(repo, manifests);
  if (blobs.length > 0) {
    yield* supplyMissing(repo, digests);
    yield* run(ENQUEUE_LINKS, repo, digests, reviewTime(database, now));
  }
  let added = 0;
  if (tags.length > 0) {
    const names = tags.map(({ name: tag }) => tag);
    const given = tags.map(({ name: tag, digest: target, updatedAt }) => [tag, digestHex(target), updatedAt]);
    const adding = locked([lockTags(name, names)], statement(ADD_TAGS, repo, JSON.stringify(given)));
    added = ((yield adding) as readonly unknown[]).length;
  }
  yield* run(COUNT, manifests.length, added, blobs.length);
  yield* moveRepository(repo);
}

function* addBlobs(blobs: readonly AdoptedBlob[], now: number, reviewAfter: number | null): Transaction<void> {
  if (blobs.length === 0) return;
  const given = blobs.map(({ digest: blob, size, storageKey, fingerprint, isIntact, createdAt }) => {
    return [digestHex(blob), size, storageKey, fingerprint, isIntact ? "live" : "damaged", createdAt] as const;
  });
  const inOrder = given.toSorted(([one], [other]) => (one < other ? -1 : 1));
  yield* run(ADD_BLOBS, JSON.stringify(inOrder), now, reviewAfter);
}

function* addManifests(repo: number, manifests: readonly AdoptedManifest[]): Transaction<void> {
  const inserts: Statement[] = [];
  const blobs: Pair[] = [];
  const children: Pair[] = [];
  const unlinked: Pair[] = [];
  for (const manifest of manifests) {
    const { mediaType, artifactType = null, annotations = null, payload, pushedAt } = manifest;
    const own = digestBytes(manifest.digest);
    const subject = manifest.subject === undefined ? null : digestBytes(manifest.subject);
    const row = [mediaType, artifactType, subject, payload.length, annotations, pushedAt, payload] as const;
    inserts.push(statement(ADD_MANIFEST, repo, own, ...row));
    for (const blob of manifest.blobs) blobs.push([manifest.digest, blob]);
    for (const child of manifest.children) children.push([manifest.digest, child]);
    for (const blob of manifest.unlinked) unlinked.push([manifest.digest, blob]);
  }
  yield* batch(...inserts);
  // BuildKit's caches are indexes whose children are layers.
  const named = listedPairs([...blobs, ...children]);
  yield* run(NEED_BLOBS, repo, named);
  if (children.length > 0) yield* run(NEED_CHILDREN, repo, listedPairs(children));
  // All other blobs came with this part or an earlier one.
  const doubtful = [...unlinked, ...children];
  if (doubtful.length > 0) yield* run(MISS, repo, listedPairs(doubtful));
  yield* run(NOT_MISSING, repo, listedDigests(manifests.map((manifest) => manifest.digest)));
}

/** A manifest, and a digest that it names. */
type Pair = readonly [manifest: string, named: string];

function listedPairs(pairs: readonly Pair[]): string {
  return JSON.stringify(pairs.map((pair) => pair.map(digestHex)));
}

/** Blobs have come that manifests of the repository named before. */
function* supplyMissing(repo: number, digests: string): Transaction<void> {
  const awaiting = yield* rows(AWAITING, repo, digests);
  if (awaiting.length === 0) return;
  yield* run(NEED_BLOBS, repo, listedPairs(awaiting.map(({ manifest, blob }) => [manifest, blob] as const)));
  yield* run(NOT_MISSING, repo, digests);
}

function* addFindings(findings: readonly AdoptionFinding[]): Transaction<void> {
  if (findings.length === 0) return;
  const given = findings.map(({ repository, kind, subject, detail }) => [
    repository,
    kind,
    storable(subject),
    storable(detail),
  ]);
  yield* run(ADD_FINDING, JSON.stringify(given));
}

/** PostgreSQL takes neither NUL nor halves of surrogate pairs, which what stands in a tree may have. */
function storable(found: string): string {
  return found.toWellFormed().replaceAll("\0", "\uFFFD");
}
