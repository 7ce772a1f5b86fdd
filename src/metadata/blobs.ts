/** Blobs, and which repository may show which of them. */
import type { Digest } from "../oci/digest.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import { record } from "./changes.ts";
import type { Cause } from "./changes.ts";
import { bytes, digest, integer, optional, query, repositoryName, text, truth, word } from "./columns.ts";
import { leaseAfter } from "./database.ts";
import type { Database } from "./database.ts";
import { digestBytes } from "./digest-bytes.ts";
import { enqueueRepository } from "./gc-queue.ts";
import { holdOnBlob } from "./holds.ts";
import type { Hold } from "./holds.ts";
import type { Page } from "./page.ts";
import { writeWithin } from "./quotas.ts";
import type { QuotaProblem } from "./quotas.ts";
import { beginRepository, findLinked, findRepository } from "./repositories.ts";
import { moveBlobs, moveRepository } from "./revisions.ts";
import { lockBlob } from "./locks.ts";
import { any, batch, bound, first, listed, listedIds, locked, rows, rowsOf, run, statement } from "./sql.ts";
import type { Statement, Transaction } from "./sql.ts";
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
  select b.size, b.storage_key, b.fingerprint, b.payload, b.created_at,
    case when l.touched_at < b.touched_at then l.touched_at else b.touched_at end as leased_at,
    exists (select 1 from manifest_blob e where e.blob = l.blob and e.repo = l.repo) as referenced
  from repo r
  join blob b on b.digest = $2
  join repo_blob l on l.repo = r.id and l.blob = b.id
  where r.name = $1 and b.state = 'live'`,
);

const LOCATE = query(
  LOCATION,
  `select storage_key, fingerprint, payload from blob where digest = $1 and state = 'live'`,
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
  select digest, size, state, storage_key, fingerprint, length(payload) as bytes from blob
  where digest > $1 order by digest limit $2`,
);

const INLINE_PAYLOAD = query({ payload: bytes }, `select payload from blob where digest = $1 and payload is not null`);

const FORMER = query(
  { id: integer, storageKey: optional(text), state: STATE, isOther: truth },
  `select id, storage_key, state, payload is distinct from $2 as is_other from blob where digest = $1`,
);

const SHOWN = query(
  { id: integer },
  `
  select b.id from blob b join repo_blob l on l.repo = $1 and l.blob = b.id
  where b.digest = $2 and b.state = 'live'`,
);

const IS_REFERENCED = `select 1 as found from manifest_blob where blob = $2 and repo = $1 limit 1`;

const RENEW_LINK = `update repo_blob set touched_at = $3 where repo = $1 and blob = $2 and touched_at < $3`;
const RENEW_BLOB = `update blob set touched_at = $2 where id = $1 and touched_at < $2`;

const ADD = query(
  { id: integer },
  `
  insert into blob (digest, size, storage_key, fingerprint, payload, state, created_at, touched_at, unref_at)
  values ($1, $2, $3, $4, $5, 'live', $6, $6, $6) on conflict (digest) do nothing returning id`,
);

const REPLACE = `
  update blob set size = $2, storage_key = $3, fingerprint = $4, payload = $5, state = 'live', touched_at = $6, unref_at = $6
  where id = $1`;

const LINK = query(
  { isAwaited: truth },
  `
  insert into repo_blob (repo, blob, touched_at, unref_at, review_after) values ($1, $2, $3, $3, $4)
  on conflict (repo, blob) do update
  set touched_at = excluded.touched_at, unref_at = excluded.unref_at, review_after = excluded.review_after
  returning exists (select 1 from manifest_missing m where m.repo = $1 and m.digest = $5) as is_awaited`,
);

const UNLINK = `delete from repo_blob where repo = $1 and blob = $2`;

const UNREFERENCE = `update blob set unref_at = $2, review_after = $3 where id = $1`;

const NOT_MISSING = query(
  { manifest: integer },
  `delete from manifest_missing where repo = $1 and digest = $2 returning manifest`,
);

const NEED = `
  insert into manifest_blob (manifest, blob, repo) select $2, cast(value as bigint), $1 from json_each($3) where true
  on conflict (manifest, blob) do nothing`;

const NEED_AWAITED = `
  insert into manifest_blob (manifest, blob, repo) select cast(value as bigint), $2, $1 from json_each($3) where true
  on conflict (manifest, blob) do nothing`;

const MARK_CORRUPT = `
  update blob set state = 'damaged' where digest = $1 and storage_key = $2 and state <> 'damaged' returning digest`;

const MARK_CORRUPT_INLINE = `
  update blob set state = 'damaged' where digest = $1 and payload = $2 and state <> 'damaged' returning digest`;

const SET_FINGERPRINT = `update blob set fingerprint = $3 where digest = $1 and storage_key = $2`;

const MARK_INTACT = `
  update blob set state = 'live' where digest = $1 and storage_key = $2 and state <> 'live' returning digest`;

const SIZE = query({ size: integer }, `select size from blob where id = $1`);

const SHOWN_BY = query(
  { name: repositoryName },
  `
  select r.name from blob b join repo_blob l on l.blob = b.id join repo r on r.id = l.repo
  where b.digest = $1 and r.name < '~' order by l.repo limit $2`,
);

const NAMED = query(
  { key: text },
  `
  select value as key from json_each($1) where exists (select 1 from blob where storage_key = value)
  or exists (select 1 from trash where storage_key = value)`,
);

const NAMED_BY_UPLOADS = query(
  { partKey: text, finalKey: optional(text) },
  `select part_key, final_key from upload where id in (select value from json_each($1))`,
);

function locationOf({ storageKey, fingerprint, payload }: ReturnType<typeof LOCATE.decode>): BlobLocation {
  if (storageKey !== undefined) return { kind: "stored", storageKey, fingerprint: fingerprint ?? "" };
  return { kind: "inline", payload: payload ?? new Uint8Array() };
}

/**
 * Records bytes that are durable now, and returns the id of the blob. Bytes of the same digest that were here already go to
 * the trash: the new ones have just been hashed, while a bit of the old ones may have flipped since.
 */
export function* addBlob(blob: Digest, size: number, location: BlobLocation, now: number): Transaction<number> {
  const isStored = location.kind === "stored";
  const row = isStored ? [location.storageKey, location.fingerprint, null] : [null, null, location.payload];
  const added = yield* first(ADD, digestBytes(blob), size, ...row, now);
  if (added) return added.id;
  const [former] = yield* rowsOf(
    locked([lockBlob(blob)], bound(FORMER, digestBytes(blob), isStored ? null : location.payload)),
  );
  if (!former) throw new Error(`the blob ${blob} went while it was recorded`);
  yield* run(REPLACE, former.id, size, ...row, now);
  if (former.storageKey !== undefined) yield* moveToTrash(former.storageKey, now + UNLINK_DELAY_MS);
  // The location of other bytes is checked before they are served; bytes of the row are in responses.
  if (former.state === "damaged" || (former.storageKey === undefined && former.isOther)) yield* moveBlobs();
  return former.id;
}

/**
 * Lets a repository show a blob, which the manifests that were waiting for it need from then on. No response changes by that but
 * those which said that it is not here, and they are not cached: so the revision of the repository stays as it is.
 */
export function* linkBlob(
  repo: number,
  blob: { readonly id: number; readonly digest: Digest },
  now: number,
  reviewAfter: number,
): Transaction<void> {
  const named = digestBytes(blob.digest);
  const linked = yield* first(LINK, repo, blob.id, now, reviewAfter, named);
  if (!linked?.isAwaited) return;
  const waiting = (yield* rows(NOT_MISSING, repo, named)).map(({ manifest }) => manifest);
  yield* run(NEED_AWAITED, repo, blob.id, listedIds(waiting));
}

/** Records that a manifest needs blobs, and all are here: they cannot be collected from then on. */
export function needBlobs(repo: number, manifest: number, blobs: readonly number[]): Statement {
  return statement(NEED, repo, manifest, listedIds(blobs));
}

export class Blobs {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Undefined when this repository does not show such a blob, or it is corrupt. */
  async find(name: RepositoryName, blob: Digest): Promise<BlobRecord | undefined> {
    const found = await this.#database.engine.read(() => first(FIND, name, digestBytes(blob)));
    if (!found) return undefined;
    const { size, createdAt, leasedAt, referenced } = found;
    return { digest: blob, size, location: locationOf(found), createdAt, leasedAt, referenced };
  }

  /** Where the bytes of a digest are, whatever repositories show them; undefined when they are not here, or corrupt. */
  async locate(blob: Digest): Promise<BlobLocation | undefined> {
    const found = await this.#database.engine.read(() => first(LOCATE, digestBytes(blob)));
    return found && locationOf(found);
  }

  /** Every blob there is, in order of the digests, corrupt ones too. */
  async list({ after = "", limit }: Page): Promise<readonly RecordedBlob[]> {
    const found = await this.#database.engine.read(() => rows(LIST, digestBytes(after), limit));
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
    return (await this.#database.engine.read(() => first(INLINE_PAYLOAD, digestBytes(blob))))?.payload;
  }

  /**
   * Renews the lease of a blob, because a client is told that it is here, unless a manifest needs it anyhow. False when the
   * repository does not show it any more.
   */
  renewLease(name: RepositoryName, blob: Digest): Promise<boolean> {
    const { engine, clock } = this.#database;
    return engine.write(function* (): Transaction<boolean> {
      const repo = yield* findRepository(name);
      const shown = repo === undefined ? undefined : yield* first(SHOWN, repo, digestBytes(blob));
      if (repo === undefined || !shown) return false;
      if (yield* any(IS_REFERENCED, repo, shown.id)) return true;
      const now = clock.now();
      yield* batch(statement(RENEW_LINK, repo, shown.id, now), statement(RENEW_BLOB, shown.id, now));
      return true;
    });
  }

  /** Lets `name` show a blob that `from` shows. False when `from` does not. */
  mount(name: RepositoryName, from: RepositoryName, blob: Digest, cause?: Cause): Promise<boolean | QuotaProblem> {
    const database = this.#database;
    return writeWithin(database, name, { blob }, function* (): Transaction<boolean> {
      const source = yield* findRepository(from);
      const shown = source === undefined ? undefined : yield* first(SHOWN, source, digestBytes(blob));
      if (!shown) return false;
      const now = database.clock.now();
      yield* run(RENEW_BLOB, shown.id, now);
      const repo = yield* beginRepository(name, now);
      yield* linkBlob(repo, { id: shown.id, digest: blob }, now, leaseAfter(database, now));
      if (database.recorder) {
        const size = (yield* first(SIZE, shown.id))?.size;
        const change = { action: "mount", object: "blob", repository: name, digest: blob, size, from } as const;
        yield* record(database.recorder, cause, now, change);
      }
      return true;
    });
  }

  /** Repositories that show the blob, the oldest first. */
  async repositoriesWith(blob: Digest, limit: number): Promise<readonly RepositoryName[]> {
    return (await this.#database.engine.read(() => rows(SHOWN_BY, digestBytes(blob), limit))).map(({ name }) => name);
  }

  /** The repository no longer shows the blob, unless an immutable tag needs it: one that matches a pattern, such as `v*`. */
  unlink(
    name: RepositoryName,
    blob: Digest,
    immutableTags: readonly string[] = [],
    cause?: Cause,
  ): Promise<DeleteResult> {
    const { engine, clock, periods, recorder } = this.#database;
    return engine.write(function* (): Transaction<DeleteResult> {
      const repo = yield* findRepository(name);
      const linked = repo === undefined ? undefined : yield* findLinked(repo, blob);
      if (repo === undefined || linked === undefined) return "absent";
      const hold = yield* holdOnBlob(repo, linked, immutableTags);
      if (hold !== undefined) return hold;
      const now = clock.now();
      const reviewAfter = now + periods.graceMs;
      yield* batch(
        statement(UNLINK, repo, linked),
        statement(UNREFERENCE, linked, now, reviewAfter),
        enqueueRepository(repo, reviewAfter),
      );
      yield* moveRepository(repo);
      yield* record(recorder, cause, now, { action: "delete", object: "blob", repository: name, digest: blob });
      return "done";
    });
  }

  /**
   * The bytes under this key, or these bytes that lay in the row, are not what they should be: the blob is missing until it is
   * pushed again. Changes nothing when it has other bytes by now.
   */
  markCorrupt(blob: Digest, at: string | Uint8Array): Promise<void> {
    return this.#database.engine.write(function* (): Transaction<void> {
      const statementOf = typeof at === "string" ? MARK_CORRUPT : MARK_CORRUPT_INLINE;
      const isChanged = yield* any(statementOf, digestBytes(blob), at);
      if (isChanged) yield* moveBlobs();
    });
  }

  /** The bytes were hashed again and are intact, with this fingerprint of the store: also when they were marked as corrupt. */
  markIntact(blob: Digest, storageKey: string, fingerprint: string): Promise<void> {
    return this.#database.engine.write(function* (): Transaction<void> {
      yield* run(SET_FINGERPRINT, digestBytes(blob), storageKey, fingerprint);
      if (yield* any(MARK_INTACT, digestBytes(blob), storageKey)) yield* moveBlobs();
    });
  }

  /** Those of `keys` that a blob, an upload or the trash names. */
  namedKeys(keys: readonly string[]): Promise<ReadonlySet<string>> {
    const all = new Set(keys);
    return this.#database.engine.read(function* (): Transaction<ReadonlySet<string>> {
      const named = new Set((yield* rows(NAMED, listed(keys))).map(({ key }) => key));
      for (const { partKey, finalKey } of yield* rows(NAMED_BY_UPLOADS, listed(keys.map(uploadIn)))) {
        if (all.has(partKey)) named.add(partKey);
        if (finalKey !== undefined && all.has(finalKey)) named.add(finalKey);
      }
      return named;
    });
  }
}

/** An upload's id stands in every key that is made for it: its row is found by it, without a walk over all uploads. */
function uploadIn(key: string): string {
  return /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/.exec(key)?.[0] ?? "";
}
