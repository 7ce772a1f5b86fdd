/** Statements about bytes that nobody needs any more, and about what may have lost its last reference. */
import { BACKUP_LEASE } from "./leases.ts";
import { rows } from "./sql.ts";
import type { Transaction } from "./sql.ts";

const DISCARD = `
  insert into trash (storage_key, after) values ($1, $2) on conflict (storage_key) do nothing`;

// A backup that begins later copies a database without these keys: what this statement returns may go whenever.
const DUE = `
  select storage_key from trash
  where after <= $1 + $2 and not exists (select 1 from lease where name = '${BACKUP_LEASE}' and until > $1)
  order by after limit $3`;

const FORGET = `delete from trash where storage_key = $1`;

const REVIEW = `
  insert into gc_queue (kind, repo, digest, review_after) values ($1, $2, $3, $4)
  on conflict (kind, repo, digest) do update set review_after = excluded.review_after`;

/** The bytes under `key` may be removed after that time. */
export function* discard(key: string, after: number): Transaction<void> {
  yield* rows(DISCARD, key, after);
}

export function* dueTrash(now: number, aheadMs: number, limit: number): Transaction<readonly string[]> {
  const due = yield* rows<{ storage_key: string }>(DUE, now, aheadMs, limit);
  return due.map((row) => row.storage_key);
}

export function* forgetTrash(keys: readonly string[]): Transaction<void> {
  for (const key of keys) yield* rows(FORGET, key);
}

/** Asks the collection to look at a manifest after that time. */
export function* reviewManifest(repo: number, digest: string, after: number): Transaction<void> {
  yield* rows(REVIEW, "manifest", repo, digest, after);
}

/** Asks the collection to look at a repository's link to a blob, and then at the blob, after that time. */
export function* reviewBlob(repo: number, digest: string, after: number): Transaction<void> {
  yield* rows(REVIEW, "link", repo, digest, after);
}

/** Asks the collection to look at the bytes of a blob that no repository shows any more, after that time. */
export function* reviewBytes(digest: string, after: number): Transaction<void> {
  yield* rows(REVIEW, "blob", 0, digest, after);
}
