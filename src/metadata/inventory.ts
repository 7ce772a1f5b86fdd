/** What lists for people show of repositories, tags and manifests: statements that only read, and read as much as they give. */
import type { Digest } from "../oci/digest.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import type { Tag } from "../oci/tag.ts";
import { anyDigest, bytes, digest, integer, optional, query, repositoryName, tagName, text, truth } from "./columns.ts";
import type { Database } from "./database.ts";
import { digestBytes, listedDigests } from "./digest-bytes.ts";
import { bound, first, listed, rows, rowsOfBoth } from "./sql.ts";
import type { BoundQuery, Row, Transaction } from "./sql.ts";
import { likeText } from "./tag-patterns.ts";

/** A repository in a list. */
export interface RepositorySummary {
  readonly name: RepositoryName;
  readonly tags: number;
  /** Of its manifests, signatures, unfinished uploads and the blobs that it shows; what two repositories show counts in both. */
  readonly bytes: number;
  /** When the repository was first written to, in milliseconds since 1970. */
  readonly createdAt: number;
  /** When a manifest was last pushed; undefined when it has none. */
  readonly lastPush: number | undefined;
}

/** Some of the repositories, from those that were looked at. */
export interface RepositoryStep {
  readonly repositories: readonly RepositorySummary[];
  /** The name of the last one that was looked at; undefined when it was the last of all. */
  readonly next: string | undefined;
}

/** What a list shows of a tag. */
export interface TagSummary {
  readonly name: Tag;
  readonly digest: Digest;
  readonly mediaType: string;
  readonly artifactType: string | undefined;
  /** Since when it points there, in milliseconds since 1970. */
  readonly since: number;
  /** When it was last put, there or elsewhere. */
  readonly updatedAt: number;
  /** When its manifest was last pushed. */
  readonly pushedAt: number;
  /** How many tags of the repository point at the same manifest, itself included. */
  readonly sameDigest: number;
}

/** What a list shows of a manifest. */
export interface ManifestSummary {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly artifactType: string | undefined;
  /** Of any algorithm; undefined when it refers to no manifest. */
  readonly subject: string | undefined;
  /** Bytes of the manifest itself. */
  readonly size: number;
  readonly pushedAt: number;
  /** How many tags point at it. */
  readonly tags: number;
}

/** The bytes of a manifest, for what is read in them. */
export interface ManifestPayload {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly payload: Uint8Array;
}

/** A place in the list of manifests, the newest first. */
export interface PushPosition {
  readonly pushedAt: number;
  readonly id: number;
}

/** An upload that has begun and not ended. */
export interface UploadSummary {
  readonly id: string;
  /** Bytes that count so far. */
  readonly received: number;
  readonly startedAt: number;
  readonly expiresAt: number;
  /** The client that began it, where uploads of clients are counted. */
  readonly begunBy: string | undefined;
}

const REPOSITORY = {
  name: repositoryName,
  tags: integer,
  bytes: integer,
  createdAt: integer,
  lastPush: optional(integer),
};

const REPOSITORIES = query(
  REPOSITORY,
  `
  select r.name, r.tags, r.bytes, r.created_at, (
    select m.pushed_at from manifest m where m.repo = r.id order by m.pushed_at desc limit 1) as last_push
  from (select name from repo where name > $1 and name < '~' order by name limit $2) few join repo r on r.name = few.name
  where r.name like $3 escape '!'`,
);

const LAST_REPOSITORY = query(
  { name: optional(text), count: integer },
  `
  select max(name) as name, count(*) as count
  from (select name from repo where name > $1 and name < '~' order by name limit $2) few`,
);

const ONE_REPOSITORY = query(
  REPOSITORY,
  `
  select r.name, r.tags, r.bytes, r.created_at, (
    select m.pushed_at from manifest m where m.repo = r.id order by m.pushed_at desc limit 1) as last_push
  from repo r where r.name = $1`,
);

/** Manifests, uploads and blobs of a repository are counted up to so many. */
export const MOST_COUNTED_IN_REPOSITORY = 10_000;

const COUNTS = query(
  { manifests: integer, blobs: integer, uploads: integer },
  `
  select
    (select count(*) from (select 1 from manifest m where m.repo = r.id limit ${MOST_COUNTED_IN_REPOSITORY}) few) as manifests,
    (select count(*) from (select 1 from repo_blob l where l.repo = r.id limit ${MOST_COUNTED_IN_REPOSITORY}) few) as blobs,
    (select count(*) from (select 1 from upload u where u.repo = r.id limit ${MOST_COUNTED_IN_REPOSITORY}) few) as uploads
  from repo r where r.name = $1`,
);

const LINKS = query(
  { blob: integer, size: integer, isShared: truth },
  `
  select l.blob, b.size, exists (select 1 from repo_blob o where o.blob = l.blob and o.repo <> l.repo) as is_shared
  from repo r join repo_blob l on l.repo = r.id join blob b on b.id = l.blob
  where r.name = $1 and l.blob > $2 order by l.blob limit $3`,
);

const TAGS = query(
  {
    name: tagName,
    digest,
    mediaType: text,
    artifactType: optional(text),
    since: integer,
    updatedAt: integer,
    pushedAt: integer,
    sameDigest: integer,
  },
  `
  select t.name, m.digest, m.media_type, m.artifact_type, t.since, t.updated_at, m.pushed_at,
    coalesce(c.tags, 1) as same_digest
  from repo r join tag t on t.repo = r.id join manifest m on m.id = t.manifest
  left join tag_count c on c.manifest = m.id
  where r.name = $1 and t.name in (select value from json_each($2))`,
);

const TAGS_OF = query(
  { name: tagName },
  `
  select name from tag where manifest = (
    select m.id from repo r join manifest m on m.repo = r.id where r.name = $1 and m.digest = $2)
  order by name limit $3`,
);

const REFERRER_TYPES = query(
  { artifactType: optional(text) },
  `
  select m.artifact_type from repo r join manifest m on m.repo = r.id
  where r.name = $1 and m.subject = $2 order by m.digest limit $3`,
);

const MANIFEST = {
  id: integer,
  digest,
  mediaType: text,
  artifactType: optional(text),
  subject: optional(anyDigest),
  size: integer,
  pushedAt: integer,
  tags: integer,
};

const MANIFESTS = query(
  MANIFEST,
  `
  select m.id, m.digest, m.media_type, m.artifact_type, m.subject, m.size, m.pushed_at, coalesce(c.tags, 0) as tags
  from repo r join manifest m on m.repo = r.id left join tag_count c on c.manifest = m.id
  where r.name = $1 and (m.pushed_at, m.id) < ($2, $3) order by m.pushed_at desc, m.id desc limit $4`,
);

const ONE_MANIFEST = query(
  MANIFEST,
  `
  select m.id, m.digest, m.media_type, m.artifact_type, m.subject, m.size, m.pushed_at, coalesce(c.tags, 0) as tags
  from repo r join manifest m on m.repo = r.id left join tag_count c on c.manifest = m.id
  where r.name = $1 and m.digest = $2`,
);

const PAYLOADS = query(
  { digest, mediaType: text, payload: bytes },
  `
  select m.digest, m.media_type, m.payload from repo r join manifest m on m.repo = r.id
  where r.name = $1 and m.digest in (select unhex(value) from json_each($2)) and m.size <= $3`,
);

const PRESENT = query(
  { digest },
  `
  select m.digest from repo r join manifest m on m.repo = r.id
  where r.name = $1 and m.digest in (select unhex(value) from json_each($2))`,
);

const USERS_OF_BLOB = query(
  { count: integer },
  `
  select count(*) as count from (
    select 1 from blob b join manifest_blob e on e.blob = b.id where b.digest = $1 limit $2) few`,
);

const UPLOADS = query(
  { id: text, received: integer, startedAt: integer, expiresAt: integer, begunBy: optional(text) },
  `
  select u.id, u.received, u.started_at, u.expires_at, u.begun_by from repo r join upload u on u.repo = r.id
  where r.name = $1 and u.id > $2 order by u.id limit $3`,
);

/** Repositories with these letters in their names. */
export interface RepositorySearch {
  /** All when empty. */
  readonly letters: string;
}

export class Inventory {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Looks at the next `limit` repositories behind `after`, in byte order, and returns those whose names have the letters. */
  async repositories(after: string, limit: number, { letters }: RepositorySearch): Promise<RepositoryStep> {
    return await this.#database.engine.read(function* (): Transaction<RepositoryStep> {
      const pattern = `%${likeText(letters)}%`;
      const [found, [last]] = yield* rowsOfBoth(
        bound(REPOSITORIES, after, limit, pattern),
        bound(LAST_REPOSITORY, after, limit),
      );
      const repositories = found.toSorted((a, b) => (a.name < b.name ? -1 : 1));
      return { repositories, next: last !== undefined && last.count === limit ? last.name : undefined };
    });
  }

  /** One repository; undefined when nothing was ever written to it. */
  repository(name: RepositoryName): Promise<RepositorySummary | undefined> {
    return this.#database.engine.read(() => first(ONE_REPOSITORY, name));
  }

  /** How many manifests, blobs and unfinished uploads are in a repository: `MOST_COUNTED_IN_REPOSITORY` stands for as many or more. */
  counts(name: RepositoryName): Promise<RepositoryCounts | undefined> {
    return this.#database.engine.read(() => first(COUNTS, name));
  }

  /** Blobs that a repository shows, behind the id `after`, and whether another repository shows them too. */
  links(name: RepositoryName, after: number, limit: number): Promise<readonly LinkedBlob[]> {
    return this.#database.engine.read(() => rows(LINKS, name, after, limit));
  }

  /** Those of the tags that are there, in no order. */
  tags(name: RepositoryName, tags: readonly Tag[]): Promise<readonly TagSummary[]> {
    return this.#database.engine.read(() => rows(TAGS, name, listed(tags)));
  }

  /** For each of the manifests, the first `limit` tags that point at it, in byte order. */
  aliases(name: RepositoryName, manifests: readonly Digest[], limit: number): Promise<readonly (readonly Tag[])[]> {
    return this.#each(
      manifests.map((each) => bound(TAGS_OF, name, digestBytes(each), limit)),
      ({ name: tag }) => tag,
    );
  }

  /** For each of the manifests, the types of the first `limit` that refer to it; empty for those without a type. */
  referrerTypes(
    name: RepositoryName,
    manifests: readonly Digest[],
    limit: number,
  ): Promise<readonly (readonly string[])[]> {
    return this.#each(
      manifests.map((each) => bound(REFERRER_TYPES, name, digestBytes(each), limit)),
      ({ artifactType = "" }) => artifactType,
    );
  }

  /** Manifests behind a place, the one that was pushed last first. */
  async manifests(
    name: RepositoryName,
    { pushedAt, id }: PushPosition,
    limit: number,
  ): Promise<readonly (ManifestSummary & PushPosition)[]> {
    return await this.#database.engine.read(() => rows(MANIFESTS, name, pushedAt, id, limit));
  }

  /** Undefined when the repository has no such manifest. */
  manifest(name: RepositoryName, of: Digest): Promise<ManifestSummary | undefined> {
    return this.#database.engine.read(() => first(ONE_MANIFEST, name, digestBytes(of)));
  }

  /** The bytes of those of the manifests that are there and have at most `maxBytes` each, in no order. */
  payloads(name: RepositoryName, manifests: readonly string[], maxBytes: number): Promise<readonly ManifestPayload[]> {
    return this.#database.engine.read(() => rows(PAYLOADS, name, listedDigests(manifests), maxBytes));
  }

  /** Those of the manifests that are there. */
  async present(name: RepositoryName, manifests: readonly Digest[]): Promise<ReadonlySet<Digest>> {
    const found = await this.#database.engine.read(() => rows(PRESENT, name, listedDigests(manifests)));
    return new Set(found.map((each) => each.digest));
  }

  /** For each of the blobs, how many manifests of all repositories reference it; counted up to `limit`. */
  async usersOf(blobs: readonly string[], limit: number): Promise<readonly number[]> {
    const counts = await this.#each(
      blobs.map((each) => bound(USERS_OF_BLOB, digestBytes(each), limit)),
      ({ count }) => count,
    );
    return counts.map(([count = 0]) => count);
  }

  /** Unfinished uploads of a repository, in order of their ids. */
  uploads(name: RepositoryName, after: string, limit: number): Promise<readonly UploadSummary[]> {
    return this.#database.engine.read(() => rows(UPLOADS, name, after, limit));
  }

  #each<Fields, Item>(
    queries: readonly BoundQuery<Fields>[],
    itemOf: (fields: Fields) => Item,
  ): Promise<readonly (readonly Item[])[]> {
    if (queries.length === 0) return Promise.resolve([]);
    return this.#database.engine.read(function* (): Transaction<readonly (readonly Item[])[]> {
      const found = (yield queries) as readonly (readonly Row[])[];
      return queries.map(({ query: of }, at) => (found[at] ?? []).map((row) => itemOf(of.decode(row))));
    });
  }
}

export interface RepositoryCounts {
  readonly manifests: number;
  readonly blobs: number;
  readonly uploads: number;
}

export interface LinkedBlob {
  readonly blob: number;
  readonly size: number;
  /** Whether another repository shows it too. */
  readonly isShared: boolean;
}
