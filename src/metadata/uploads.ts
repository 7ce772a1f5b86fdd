/** Statements about uploads: the journal of intents. */
import type { Algorithm, Digest } from "../oci/digest.ts";
import { OciError } from "../oci/error.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import { addBlob, linkBlob } from "./blobs.ts";
import { renewHolder } from "./holder-leases.ts";
import type { FinishedUpload, NewUpload, UploadClaim, UploadRecord, UploadProgress } from "./metadata-store.ts";
import { beginRepository, forgetIfEmpty } from "./repositories.ts";
import { first, rows } from "./sql.ts";
import type { Row, Transaction } from "./sql.ts";
import { discard, forgetTrash } from "./trash.ts";

const CREATE = `
  insert into upload (id, repo, storage_key, algorithm, received, version, started_at, expires_at, begun_by)
  values ($1, $2, $3, $4, 0, 1, $5, $6, $7)`;

const BEGUN = `select 1 as found from upload where begun_by = $1 limit 1 offset $2`;

const COUNTED = `select r.name, u.repo, u.counted from upload u join repo r on r.id = u.repo where u.id = $1`;

const RESERVE = `update upload set counted = $3 where id = $1 and version = $2 returning id`;

const FIND = `
  select u.storage_key, u.final_key, u.algorithm, u.received, u.digest_so_far, u.version, u.claimed_by, u.started_at, u.told,
    i.payload
  from repo r join upload u on u.repo = r.id left join upload_inline i on i.upload = u.id
  where r.name = $1 and u.id = $2`;

/** Whether the process that an upload names still runs, as far as its lease says; $1 is the time. */
const HOLDER_RUNS = `exists (select 1 from holder where id = upload.claimed_by and until > $1)`;

const CLAIM = `
  update upload
  set claimed_by = $4, expires_at = $5, final_key = coalesce($6, final_key), part_file = 1, counted = received,
    version = version + 1
  where id = $2 and version = $3
    and (claimed_by is null or claimed_by = $4 or claimed_by = $7 or not ${HOLDER_RUNS})
  returning version`;

const RELEASE = `
  update upload set claimed_by = null, counted = received where id = $1 and claimed_by = $2 returning id`;

const NAME_FINAL_KEY = `update upload set final_key = $3 where id = $1 and version = $2 returning id`;

const FINAL_KEY = `select final_key from upload where id = $1 and version = $2`;

const KEY = `select storage_key from upload where id = $1 and version = $2`;
const MOVE = `update upload set storage_key = $3 where id = $1 and version = $2`;

const SAVE = `
  update upload
  set received = $3, counted = $3, digest_so_far = $4, expires_at = $5, claimed_by = null, version = version + 1
  where id = $1 and version = $2 and ($6 is null or told = $6)
  returning version`;

const TELL = `
  update upload set told = told + 1 where id = $2 and repo = (select id from repo where name = $1)
  returning received`;

const PUT_STAGED = `
  insert into upload_inline (upload, payload) values ($1, $2) on conflict (upload) do update set payload = excluded.payload`;
const DROP_STAGED = `delete from upload_inline where upload = $1`;

const END = `delete from upload where id = $1 and version = $2 returning repo, storage_key, final_key, part_file`;

const CANCEL = `
  delete from upload where id = $2 and repo = (select id from repo where name = $1) and ($3 is null or version = $3)
  returning repo, storage_key, final_key`;

const EXPIRED = `
  select id from upload where expires_at <= $1 and (claimed_by is null or not ${HOLDER_RUNS})
  order by expires_at limit $2`;

const REMOVE = `delete from upload where id = $1 returning repo, storage_key, final_key`;

interface Ended {
  readonly repo: number;
  readonly storage_key: string;
  readonly final_key: string | null;
}

export function* createUpload(name: RepositoryName, upload: NewUpload, now: number): Transaction<void> {
  const { id, partKey, algorithm, expiresAt, begunBy } = upload;
  if (begunBy) yield* requireFewBegun(begunBy);
  const repo = yield* beginRepository(name, now);
  yield* rows(CREATE, id, repo, partKey, algorithm, now, expiresAt, begunBy?.client ?? null);
}

function* requireFewBegun({ client, atMost }: NonNullable<NewUpload["begunBy"]>): Transaction<void> {
  if (!(yield* first(BEGUN, client, atMost - 1))) return;
  throw new OciError("TOOMANYREQUESTS", {
    message:
      `${client} has ${atMost} uploads that are neither closed nor cancelled, and no more are allowed (limits.uploads): ` +
      "cancel them with DELETE, or wait until they expire",
    detail: { client, uploads: atMost },
  });
}

/** What an upload counts for in quotas, and where. */
export interface CountedUpload {
  readonly name: RepositoryName;
  readonly repo: number;
  /** Bytes. */
  readonly counted: number;
}

export function* countedUpload(id: string): Transaction<CountedUpload | undefined> {
  return yield* first<CountedUpload & Row>(COUNTED, id);
}

/** Lets an upload count for so many bytes. False when the writer had lost it. */
export function* reserveUpload(id: string, version: number, bytes: number): Transaction<boolean> {
  return (yield* first(RESERVE, id, version, bytes)) !== undefined;
}

export function* findUpload(name: RepositoryName, id: string): Transaction<UploadRecord | undefined> {
  const row = yield* first<{
    storage_key: string;
    final_key: string | null;
    algorithm: Algorithm;
    received: number;
    digest_so_far: Digest | null;
    version: number;
    claimed_by: string | null;
    started_at: number;
    told: number;
    payload: Uint8Array | null;
  }>(FIND, name, id);
  return (
    row && {
      id,
      partKey: row.storage_key,
      finalKey: row.final_key ?? undefined,
      staged: row.payload ?? undefined,
      algorithm: row.algorithm,
      received: row.received,
      digestSoFar: row.digest_so_far ?? undefined,
      version: row.version,
      claimedBy: row.claimed_by ?? undefined,
      startedAt: row.started_at,
      told: row.told,
    }
  );
}

export function* tellUpload(name: RepositoryName, id: string): Transaction<number | undefined> {
  return (yield* first<{ received: number }>(TELL, name, id))?.received;
}

export function* claimUpload(claim: UploadClaim, now: number): Transaction<number | undefined> {
  const { id, version, holder, ended = null, expiresAt, finalKey = null } = claim;
  if (claim.leaseUntil !== undefined) yield* renewHolder(holder, claim.leaseUntil, now);
  const before = yield* first<{ final_key: string | null }>(FINAL_KEY, id, version);
  const claimed = yield* first<{ version: number }>(CLAIM, now, id, version, holder, expiresAt, finalKey, ended);
  if (claimed) yield* discardCommitted(before?.final_key ?? null, finalKey, now);
  return claimed?.version;
}

export function* releaseUpload(id: string, holder: string): Transaction<boolean> {
  return (yield* first(RELEASE, id, holder)) !== undefined;
}

export function* nameFinalKey(id: string, version: number, finalKey: string, now: number): Transaction<boolean> {
  const before = yield* first<{ final_key: string | null }>(FINAL_KEY, id, version);
  if (!(yield* first(NAME_FINAL_KEY, id, version, finalKey))) return false;
  yield* discardCommitted(before?.final_key ?? null, finalKey, now);
  return true;
}

/** What an earlier writer had committed, and died before it was a blob, is named by nothing once the row names another. */
function* discardCommitted(before: string | null, after: string | null, now: number): Transaction<void> {
  if (before !== null && after !== null && before !== after) yield* discard(before, now);
}

export function* moveUpload(id: string, version: number, partKey: string, now: number): Transaction<boolean> {
  const held = yield* first<{ storage_key: string }>(KEY, id, version);
  if (!held) return false;
  yield* rows(MOVE, id, version, partKey);
  yield* forgetTrash([partKey]);
  yield* discard(held.storage_key, now);
  return true;
}

export function* saveUpload(progress: UploadProgress): Transaction<number | undefined> {
  const { id, version, received, digestSoFar = null, expiresAt, staged, told = null } = progress;
  const saved = yield* first<{ version: number }>(SAVE, id, version, received, digestSoFar, expiresAt, told);
  if (!saved) return undefined;
  if (staged) yield* rows(PUT_STAGED, id, staged);
  else yield* rows(DROP_STAGED, id);
  return saved.version;
}

export function* finishUpload(finished: FinishedUpload, now: number, reviewAfter: number): Transaction<boolean> {
  const ended = yield* first<Ended & { readonly part_file: 0 | 1 }>(END, finished.id, finished.version);
  if (!ended) return false;
  const kept = finished.at.kind === "stored" ? finished.at.storageKey : null;
  // What earlier requests left that failed: a file that they had committed, or one that the few bytes of this blob need not.
  if (ended.final_key !== null && ended.final_key !== kept) yield* discard(ended.final_key, now);
  if (ended.part_file === 1 && kept === null) yield* discard(ended.storage_key, now);
  yield* addBlob(finished.digest, finished.size, finished.at, now);
  yield* linkBlob(ended.repo, finished.digest, now, reviewAfter);
  return true;
}

export function* cancelUpload(
  name: RepositoryName,
  id: string,
  version: number | undefined,
  now: number,
): Transaction<boolean> {
  const cancelled = yield* first<Ended>(CANCEL, name, id, version ?? null);
  if (!cancelled) return false;
  yield* putAway(cancelled, now);
  return true;
}

export function* expireUploads(limit: number, now: number): Transaction<number> {
  const expired = yield* rows<{ id: string }>(EXPIRED, now, limit);
  for (const { id } of expired) {
    const removed = yield* first<Ended>(REMOVE, id);
    if (removed) yield* putAway(removed, now);
  }
  return expired.length;
}

/** What an upload that came to nothing leaves: its bytes, and perhaps a repository that begun with it. */
function* putAway(ended: Ended, now: number): Transaction<void> {
  yield* discard(ended.storage_key, now);
  if (ended.final_key !== null) yield* discard(ended.final_key, now);
  yield* forgetIfEmpty(ended.repo);
}
