/** Blobs, and which repository may show which of them. */
import type { Digest } from "../oci/digest.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import type { Tag } from "../oci/tag.ts";
import { bytes, digest, integer, optional, query, repositoryName, text, truth, word } from "./columns.ts";
import { leaseAfter } from "./database.ts";
import type { Database } from "./database.ts";
import { enqueueLink } from "./gc-queue.ts";
import { holdOnBlob } from "./holds.ts";
import type { Hold } from "./holds.ts";
import type { Page } from "./page.ts";
import { writeWithin } from "./quotas.ts";
import type { QuotaProblem } from "./quotas.ts";
import { beginRepository, findRepository, isLinked } from "./repositories.ts";
import { moveBlobs, moveRepository } from "./revisions.ts";
import { any, first, listed, rows, run } from "./sql.ts";
import type { Transaction } from "./sql.ts";
import { UNLINK_DELAY_MS, moveToTrash } from "./trash.ts";

/** Where the bytes of a blob are: in a store, or in the row. */
export type BlobLocation =
  | { readonly kind: "stored"; readonly storageKey: string; readonly fingerprint: string }
  | { readonly kind: "inline"; readonly payload: Uint8Array };

/** A blob as a repository shows it. */
export interface BlobRecord {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  readonly location: BlobLocation;
  readonly createdAt: number;
  /** When its lease was last renewed, by the repository's link and by the blob: the older of both. */
  readonly leasedAt: number;
  /** Whether a manifest of the repository references it: then it is kept, whatever its lease. */
  readonly referenced: boolean;
}

/** A blob as its row has it, whatever repositories show it. */
export interface RecordedBlob {
  readonly digest: Digest;
  readonly size: number;
  readonly location: RecordedLocation;
  readonly corrupt: boolean;
}

/** As `BlobLocation`, with the number of bytes that are in the row instead of the bytes: a list of blobs stays small. */
export type RecordedLocation =
  | Extract<BlobLocation, { readonly kind: "stored" }>
  | { readonly kind: "inline"; readonly bytes: number };

export type DeleteResult = "done" | "absent" | Hold;

const LOCATION = { storageKey: optional(text), fingerprint: optional(text), payload: optional(bytes) };
const STATE = word("live", "damaged");

const FIND = query(
  { size: integer, createdAt: integer, leasedAt: integer, referenced: truth, ...LOCATION },
  `
  select b.size, b.storage_key, b.fingerprint, b.created_at, i.payload,
    case when l.touched_at < b.touched_at then l.touched_at else b.touched_at end as leased_at,
    exists (select 1 from manifest_blob e where e.blob = l.digest and e.repo = l.repo) as referenced
  from repo r
  join repo_blob l on l.repo = r.id
  join blob b on b.digest = l.digest
  left join blob_inline i on i.digest = b.digest
  where r.name = $1 and l.digest = $2 and b.state = 'live'`,
);

const LOCATE = query(
  LOCATION,
  `
  select b.storage_key, b.fingerprint, i.payload from blob b left join blob_inline i on i.digest = b.digest
  where b.digest = $1 and b.state = 'live'`,
);

const LIST = query(
  {
    digest,
    size: integer,
    state: STATE,
    storageKey: optional(text),
    fingerprint: optional(text),
    bytes: optional(integer),
  },
  `
  select b.digest, b.size, b.storage_key, b.fingerprint, b.state, length(i.payload) as bytes
  from blob b left join blob_inline i on i.digest = b.digest
  where b.digest > $1 order by b.digest limit $2`,
);

const INLINE_PAYLOAD = query({ payload: bytes }, `select payload from blob_inline where digest = $1`);

const FORMER = query(
  { storageKey: optional(text), state: STATE },
  `select storage_key, state from blob where digest = $1`,
);

const IS_SHOWN = `
  select 1 as found from repo_blob l join blob b on b.digest = l.digest
  where l.repo = $1 and l.digest = $2 and b.state = 'live'`;

const IS_REFERENCED = `select 1 as found from manifest_blob where blob = $2 and repo = $1 limit 1`;

const RENEW_LINK = `update repo_blob set touched_at = $3 where repo = $1 and digest = $2 and touched_at < $3`;
const RENEW_BLOB = `update blob set touched_at = $2 where digest = $1 and touched_at < $2`;

const ADD = `
  insert into blob (digest, size, storage_key, fingerprint, state, created_at, touched_at, unref_at)
  values ($1, $2, $3, $4, 'live', $5, $5, $5) on conflict (digest) do nothing returning digest`;

const REPLACE = `
  update blob set size = $2, storage_key = $3, fingerprint = $4, state = 'live', touched_at = $5, unref_at = $5
  where digest = $1`;

const PUT_INLINE = `
  insert into blob_inline (digest, payload) values ($1, $2)
  on conflict (digest) do update set payload = excluded.payload where payload is distinct from excluded.payload
  returning digest`;
const DROP_INLINE = `delete from blob_inline where digest = $1`;

const LINK = query(
  { isAwaited: truth },
  `
  insert into repo_blob (repo, digest, touched_at, unref_at) values ($1, $2, $3, $3)
  on conflict (repo, digest) do update set touched_at = excluded.touched_at, unref_at = excluded.unref_at
  returning exists (select 1 from manifest_missing m where m.repo = $1 and m.digest = $2) as is_awaited`,
);

const UNLINK = `delete from repo_blob where repo = $1 and digest = $2 returning digest`;

const UNREFERENCE = `update blob set unref_at = $2 where digest = $1`;

const NOT_MISSING = query(
  { manifest: text },
  `delete from manifest_missing where repo = $1 and digest = $2 returning manifest`,
);

const NEED = `
  insert into manifest_blob (repo, manifest, blob) select $1, $2, value from json_each($3) where true
  on conflict (repo, manifest, blob) do nothing`;

const NEED_AWAITED = `
  insert into manifest_blob (repo, manifest, blob) select $1, value, $2 from json_each($3) where true
  on conflict (repo, manifest, blob) do nothing`;

const MARK_CORRUPT = `
  update blob set state = 'damaged' where digest = $1 and storage_key = $2 and state <> 'damaged' returning digest`;

const MARK_CORRUPT_INLINE = `
  update blob set state = 'damaged' where digest = $1 and storage_key is null
  and state <> 'damaged' and exists (select 1 from blob_inline i where i.digest = $1 and i.payload = $2)
  returning digest`;

const SET_FINGERPRINT = `update blob set fingerprint = $3 where digest = $1 and storage_key = $2`;

const MARK_INTACT = `
  update blob set state = 'live' where digest = $1 and storage_key = $2 and state <> 'live' returning digest`;

const SHOWN_BY = query(
  { name: repositoryName },
  `select r.name from repo_blob l join repo r on r.id = l.repo where l.digest = $1 and r.name < '~' order by l.repo limit $2`,
);

const IS_NAMED = `
  select 1 as found from blob where storage_key = $1
  union all select 1 from upload where id = $2 and (storage_key = $1 or final_key = $1)
  union all select 1 from trash where storage_key = $1
  limit 1`;

function locationOf({ storageKey, fingerprint, payload }: ReturnType<typeof LOCATE.decode>): BlobLocation {
  if (storageKey !== undefined) return { kind: "stored", storageKey, fingerprint: fingerprint ?? "" };
  return { kind: "inline", payload: payload ?? new Uint8Array() };
}

/**
 * Records bytes that are durable now. Bytes of the same digest that were here already go to the trash: the new ones have just
 * been hashed, while a bit of the old ones may have flipped since.
 */
export function* addBlob(blob: Digest, size: number, location: BlobLocation, now: number): Transaction<void> {
  const [key, print] = location.kind === "stored" ? [location.storageKey, location.fingerprint] : [null, null];
  const isNew = yield* any(ADD, blob, size, key, print, now);
  const former = isNew ? undefined : yield* first(FORMER, blob);
  if (!isNew) yield* run(REPLACE, blob, size, key, print, now);
  const wasInline = former !== undefined && former.storageKey === undefined;
  const isWritten = location.kind === "inline" && (yield* any(PUT_INLINE, blob, location.payload));
  if (location.kind !== "inline" && wasInline) yield* run(DROP_INLINE, blob);
  if (former?.storageKey !== undefined) yield* moveToTrash(former.storageKey, now + UNLINK_DELAY_MS);
  // The location of other bytes is checked before they are served; bytes of the row are in responses.
  if (former?.state === "damaged" || (wasInline && (isWritten || location.kind === "stored"))) yield* moveBlobs();
}

/**
 * Lets a repository show a blob, which the manifests that were waiting for it need from then on. No response changes by that but
 * those which said that it is not here, and they are not cached: so the revision of the repository stays as it is.
 */
export function* linkBlob(repo: number, blob: Digest, now: number, reviewAfter: number): Transaction<void> {
  const linked = yield* first(LINK, repo, blob, now);
  if (linked?.isAwaited) {
    const waiting = (yield* rows(NOT_MISSING, repo, blob)).map(({ manifest }) => manifest);
    yield* run(NEED_AWAITED, repo, blob, listed(waiting));
  }
  yield* enqueueLink(repo, blob, reviewAfter);
}

/** Records that a manifest needs blobs, and all are here: they cannot be collected from then on. */
export function* needBlobs(repo: number, manifest: string, blobs: readonly string[]): Transaction<void> {
  if (blobs.length > 0) yield* run(NEED, repo, manifest, listed(blobs));
}

/** Whether a manifest of the repository references the blob. */
function isReferenced(repo: number, blob: Digest): Transaction<boolean> {
  return any(IS_REFERENCED, repo, blob);
}

export class Blobs {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Undefined when this repository does not show such a blob, or it is corrupt. */
  async find(name: RepositoryName, blob: Digest): Promise<BlobRecord | undefined> {
    const found = await this.#database.engine.read(() => first(FIND, name, blob));
    if (!found) return undefined;
    const { size, createdAt, leasedAt, referenced } = found;
    return { digest: blob, size, location: locationOf(found), createdAt, leasedAt, referenced };
  }

  /** Where the bytes of a digest are, whatever repositories show them; undefined when they are not here, or corrupt. */
  async locate(blob: Digest): Promise<BlobLocation | undefined> {
    const found = await this.#database.engine.read(() => first(LOCATE, blob));
    return found && locationOf(found);
  }

  /** Every blob there is, in order of the digests, corrupt ones too. */
  async list({ after = "", limit }: Page): Promise<readonly RecordedBlob[]> {
    const found = await this.#database.engine.read(() => rows(LIST, after, limit));
    return found.map((row) => ({
      digest: row.digest,
      size: row.size,
      location:
        row.storageKey === undefined
          ? { kind: "inline", bytes: row.bytes ?? 0 }
          : { kind: "stored", storageKey: row.storageKey, fingerprint: row.fingerprint ?? "" },
      corrupt: row.state === "damaged",
    }));
  }

  /** The bytes of a blob that are in its row, intact or not; undefined when they are not there. */
  async inlinePayload(blob: Digest): Promise<Uint8Array | undefined> {
    return (await this.#database.engine.read(() => first(INLINE_PAYLOAD, blob)))?.payload;
  }

  /**
   * Renews the lease of a blob, because a client is told that it is here, unless a manifest needs it anyhow. False when the
   * repository does not show it any more.
   */
  renewLease(name: RepositoryName, blob: Digest): Promise<boolean> {
    const { engine, clock } = this.#database;
    return engine.write(function* (): Transaction<boolean> {
      const repo = yield* findRepository(name);
      if (repo === undefined || !(yield* any(IS_SHOWN, repo, blob))) return false;
      if (yield* isReferenced(repo, blob)) return true;
      const now = clock.now();
      yield* run(RENEW_LINK, repo, blob, now);
      yield* run(RENEW_BLOB, blob, now);
      return true;
    });
  }

  /** Lets `name` show a blob that `from` shows. False when `from` does not. */
  mount(name: RepositoryName, from: RepositoryName, blob: Digest): Promise<boolean | QuotaProblem> {
    const database = this.#database;
    return writeWithin(database, name, { blob }, function* (): Transaction<boolean> {
      const source = yield* findRepository(from);
      if (source === undefined || !(yield* any(IS_SHOWN, source, blob))) return false;
      const now = database.clock.now();
      yield* run(RENEW_BLOB, blob, now);
      const repo = yield* beginRepository(name, now);
      yield* linkBlob(repo, blob, now, leaseAfter(database, now));
      return true;
    });
  }

  /** Repositories that show the blob, the oldest first. */
  async repositoriesWith(blob: Digest, limit: number): Promise<readonly RepositoryName[]> {
    return (await this.#database.engine.read(() => rows(SHOWN_BY, blob, limit))).map(({ name }) => name);
  }

  /** The repository no longer shows the blob, unless an immutable tag needs it. */
  unlink(name: RepositoryName, blob: Digest, isImmutable?: (tag: Tag) => boolean): Promise<DeleteResult> {
    const { engine, clock, periods } = this.#database;
    return engine.write(function* (): Transaction<DeleteResult> {
      const repo = yield* findRepository(name);
      if (repo === undefined) return "absent";
      if (isImmutable) {
        if (!(yield* isLinked(repo, blob))) return "absent";
        const hold = yield* holdOnBlob(repo, blob, isImmutable);
        if (hold !== undefined) return hold;
      }
      if (!(yield* any(UNLINK, repo, blob))) return "absent";
      const now = clock.now();
      yield* run(UNREFERENCE, blob, now);
      yield* moveRepository(repo);
      yield* enqueueLink(repo, blob, now + periods.graceMs);
      return "done";
    });
  }

  /**
   * The bytes under this key, or these bytes that lay in the row, are not what they should be: the blob is missing until it is
   * pushed again. Changes nothing when it has other bytes by now.
   */
  markCorrupt(blob: Digest, at: string | Uint8Array): Promise<void> {
    return this.#database.engine.write(function* (): Transaction<void> {
      const isChanged = yield* any(typeof at === "string" ? MARK_CORRUPT : MARK_CORRUPT_INLINE, blob, at);
      if (isChanged) yield* moveBlobs();
    });
  }

  /** The bytes were hashed again and are intact, with this fingerprint of the store: also when they were marked as corrupt. */
  markIntact(blob: Digest, storageKey: string, fingerprint: string): Promise<void> {
    return this.#database.engine.write(function* (): Transaction<void> {
      yield* run(SET_FINGERPRINT, blob, storageKey, fingerprint);
      if (yield* any(MARK_INTACT, blob, storageKey)) yield* moveBlobs();
    });
  }

  /** Those of `keys` that a blob, an upload or the trash names. */
  namedKeys(keys: readonly string[]): Promise<ReadonlySet<string>> {
    return this.#database.engine.read(function* (): Transaction<ReadonlySet<string>> {
      const named = new Set<string>();
      for (const key of keys) if (yield* any(IS_NAMED, key, uploadIn(key))) named.add(key);
      return named;
    });
  }
}

/** An upload's id stands in every key that is made for it: its row is found by it, without a walk over all uploads. */
function uploadIn(key: string): string {
  return /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/.exec(key)?.[0] ?? "";
}
