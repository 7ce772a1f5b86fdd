/** Statements about blobs and about which repository may show them. */
import type { Digest } from "../oci/digest.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import type { Tag } from "../oci/tag.ts";
import { holdOnBlob } from "./holds.ts";
import type { BlobFacts, DeleteResult, Whereabouts } from "./metadata-store.ts";
import { findRepository, beginRepository } from "./repositories.ts";
import { moveBlobs, moveRepository } from "./revisions.ts";
import { first, rows } from "./sql.ts";
import type { Transaction } from "./sql.ts";
import { discard, reviewBlob } from "./trash.ts";

const FIND_SHOWN = `
  select b.size, b.storage_key, b.mtime, b.created_at, i.payload,
    case when l.touched_at < b.touched_at then l.touched_at else b.touched_at end as touched_at,
    exists (select 1 from manifest_blob e where e.blob = l.digest and e.repo = l.repo) as needed
  from repo r
  join repo_blob l on l.repo = r.id
  join blob b on b.digest = l.digest
  left join blob_inline i on i.digest = b.digest
  where r.name = $1 and l.digest = $2 and b.state = 'live'`;

const FIND_FILE = `select storage_key, mtime, state from blob where digest = $1`;

const FIND_INLINE = `select payload from blob_inline where digest = $1`;

const IS_SHOWN = `
  select 1 as found from repo_blob l join blob b on b.digest = l.digest
  where l.repo = $1 and l.digest = $2 and b.state = 'live'`;

const IS_NEEDED = `select 1 as found from manifest_blob where blob = $2 and repo = $1 limit 1`;

const TOUCH_LINK = `update repo_blob set touched_at = $3 where repo = $1 and digest = $2 and touched_at < $3`;
const TOUCH_BLOB = `update blob set touched_at = $2 where digest = $1 and touched_at < $2`;

const ADD = `
  insert into blob (digest, size, storage_key, mtime, state, created_at, touched_at, unref_at)
  values ($1, $2, $3, $4, 'live', $5, $5, $5)`;

const REPLACE = `
  update blob set size = $2, storage_key = $3, mtime = $4, state = 'live', touched_at = $5, unref_at = $5
  where digest = $1`;

const PUT_INLINE = `
  insert into blob_inline (digest, payload) values ($1, $2)
  on conflict (digest) do update set payload = excluded.payload where payload is distinct from excluded.payload`;
const DROP_INLINE = `delete from blob_inline where digest = $1`;

const LINK = `
  insert into repo_blob (repo, digest, touched_at, unref_at) values ($1, $2, $3, $3)
  on conflict (repo, digest) do update set touched_at = excluded.touched_at, unref_at = excluded.unref_at`;

const IS_LINKED = `select 1 as found from repo_blob where repo = $1 and digest = $2`;

const UNLINK = `delete from repo_blob where repo = $1 and digest = $2 returning digest`;

const UNREFERENCE = `update blob set unref_at = $2 where digest = $1`;

const NOT_MISSING = `delete from manifest_missing where repo = $1 and digest = $2 returning manifest`;

const NEED = `
  insert into manifest_blob (repo, manifest, blob) values ($1, $2, $3) on conflict (repo, manifest, blob) do nothing`;

const MARK_DAMAGED = `
  update blob set state = 'damaged' where digest = $1 and storage_key = $2 and state <> 'damaged' returning digest`;

const MARK_DAMAGED_INLINE = `
  update blob set state = 'damaged' where digest = $1 and storage_key is null
  and state <> 'damaged' and exists (select 1 from blob_inline i where i.digest = $1 and i.payload = $2)
  returning digest`;

const CONFIRM = `update blob set mtime = $3 where digest = $1 and storage_key = $2`;

const MARK_INTACT = `
  update blob set state = 'live' where digest = $1 and storage_key = $2 and state <> 'live' returning digest`;

const SHOWN_BY = `
  select r.name from repo_blob l join repo r on r.id = l.repo where l.digest = $1 order by l.repo limit $2`;

/** How long after its row a file is kept: a reader may have read the row and not opened the file yet. */
export const READERS_MS = 60_000;

export interface BytesRow {
  readonly storage_key: string | null;
  readonly mtime: number | null;
  readonly payload: Uint8Array | null;
}

type FileRow = Omit<BytesRow, "payload"> & { readonly state: string };

export function whereabouts(row: BytesRow): Whereabouts {
  if (row.storage_key !== null) return { kind: "stored", storageKey: row.storage_key, mtimeMs: row.mtime ?? 0 };
  return { kind: "inline", payload: row.payload ?? new Uint8Array() };
}

export function* findBlob(name: RepositoryName, digest: Digest): Transaction<BlobFacts | undefined> {
  const row = yield* first<BytesRow & { size: number; created_at: number; touched_at: number; needed: unknown }>(
    FIND_SHOWN,
    name,
    digest,
  );
  return (
    row && {
      digest,
      size: row.size,
      at: whereabouts(row),
      createdAt: row.created_at,
      touchedAt: row.touched_at,
      needed: Boolean(row.needed),
    }
  );
}

export function* findBytes(digest: Digest): Transaction<Whereabouts | undefined> {
  const row = yield* first<FileRow>(FIND_FILE, digest);
  if (row?.state !== "live") return undefined;
  const inline = row.storage_key === null ? yield* first<{ payload: Uint8Array }>(FIND_INLINE, digest) : undefined;
  return whereabouts({ ...row, payload: inline?.payload ?? null });
}

export function* touchBlob(name: RepositoryName, digest: Digest, now: number): Transaction<boolean> {
  const repo = yield* findRepository(name);
  if (repo === undefined || !(yield* first(IS_SHOWN, repo, digest))) return false;
  if (yield* first(IS_NEEDED, repo, digest)) return true;
  yield* rows(TOUCH_LINK, repo, digest, now);
  yield* rows(TOUCH_BLOB, digest, now);
  return true;
}

export function* mountBlob(
  name: RepositoryName,
  from: RepositoryName,
  digest: Digest,
  now: number,
  reviewAfter: number,
): Transaction<boolean> {
  const source = yield* findRepository(from);
  if (source === undefined || !(yield* first(IS_SHOWN, source, digest))) return false;
  yield* rows(TOUCH_BLOB, digest, now);
  const repo = yield* beginRepository(name, now);
  yield* linkBlob(repo, digest, now, reviewAfter);
  return true;
}

/**
 * Records bytes that are durable now. Bytes of the same digest that were here already go to the trash: the new ones have just
 * been hashed, while a bit of the old ones may have flipped since.
 */
export function* addBlob(digest: Digest, size: number, at: Whereabouts, now: number): Transaction<void> {
  const [key, mtime] = at.kind === "stored" ? [at.storageKey, at.mtimeMs] : [null, null];
  const before = yield* first<FileRow>(FIND_FILE, digest);
  if (before === undefined) yield* rows(ADD, digest, size, key, mtime, now);
  else yield* rows(REPLACE, digest, size, key, mtime, now);
  if (at.kind === "inline") yield* rows(PUT_INLINE, digest, at.payload);
  else if (before?.storage_key === null) yield* rows(DROP_INLINE, digest);
  if (before && before.storage_key !== null) yield* discard(before.storage_key, now + READERS_MS);
  // Other bytes of the same digest are no change to a reader, and their location is checked before it is served.
  if (before?.state === "damaged") yield* moveBlobs();
}

/** Lets a repository show a blob, and tells the manifests that were waiting for it. */
export function* linkBlob(repo: number, digest: Digest, now: number, reviewAfter: number): Transaction<void> {
  yield* rows(LINK, repo, digest, now);
  yield* moveRepository(repo);
  for (const { manifest } of yield* rows<{ manifest: string }>(NOT_MISSING, repo, digest)) {
    yield* needBlob(repo, manifest, digest);
  }
  yield* reviewBlob(repo, digest, reviewAfter);
}

/** Records that a manifest needs a blob, and both are here: it cannot be collected from then on. */
export function* needBlob(repo: number, manifest: string, digest: string): Transaction<void> {
  yield* rows(NEED, repo, manifest, digest);
}

export function* unlinkBlob(
  name: RepositoryName,
  digest: Digest,
  isFixed: ((tag: Tag) => boolean) | undefined,
  now: number,
  reviewAfter: number,
): Transaction<DeleteResult> {
  const repo = yield* findRepository(name);
  if (repo === undefined) return "absent";
  if (isFixed) {
    if (!(yield* first(IS_LINKED, repo, digest))) return "absent";
    const hold = yield* holdOnBlob(repo, digest, isFixed);
    if (hold !== undefined) return hold;
  }
  if (!(yield* first(UNLINK, repo, digest))) return "absent";
  yield* rows(UNREFERENCE, digest, now);
  yield* moveRepository(repo);
  yield* reviewBlob(repo, digest, reviewAfter);
  return "done";
}

export function* markDamaged(digest: Digest, bytes: string | Uint8Array): Transaction<void> {
  if (yield* first(typeof bytes === "string" ? MARK_DAMAGED : MARK_DAMAGED_INLINE, digest, bytes)) yield* moveBlobs();
}

export function* confirmBlob(digest: Digest, storageKey: string, mtimeMs: number): Transaction<void> {
  yield* rows(CONFIRM, digest, storageKey, mtimeMs);
  if (yield* first(MARK_INTACT, digest, storageKey)) yield* moveBlobs();
}

export function* repositoriesWithBlob(digest: Digest, limit: number): Transaction<readonly RepositoryName[]> {
  const found = yield* rows<{ name: RepositoryName }>(SHOWN_BY, digest, limit);
  return found.map((row) => row.name);
}
