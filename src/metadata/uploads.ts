/** Uploads: the journal of intents. A row stands here before the first byte of an upload lies anywhere. */
import type { Algorithm, Digest } from "../oci/digest.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import { addBlob, linkBlob } from "./blobs.ts";
import type { BlobLocation } from "./blobs.ts";
import { record } from "./changes.ts";
import type { Cause } from "./changes.ts";
import { algorithm, bytes, digest, integer, optional, query, repositoryName, text, truth } from "./columns.ts";
import { digestBytes } from "./digest-bytes.ts";
import { leaseAfter } from "./database.ts";
import type { Database, Quota } from "./database.ts";
import { renewHolder } from "./holder-leases.ts";
import { findBytesProblem, freeBytes, quotasOf, within, writeCounted, writeWithin } from "./quotas.ts";
import type { Addition, QuotaProblem } from "./quotas.ts";
import { beginRepository, findRepository, forgetEmpty } from "./repositories.ts";
import { any, first, rows, run } from "./sql.ts";
import type { Transaction } from "./sql.ts";
import { forgetKeys, keysOfUpload, moveAllToTrash, moveToTrash } from "./trash.ts";

/** An upload as its row has it. */
export interface UploadRecord {
  readonly id: string;
  /** Where its bytes lie when they are not `staged`. */
  readonly partKey: string;
  /** What the store has to know to continue there. */
  readonly partState: string | undefined;
  /** What a writer was about to make of them when it last said so. */
  readonly finalKey: string | undefined;
  /** The bytes while they are few: they lie in the row. */
  readonly staged: Uint8Array | undefined;
  readonly algorithm: Algorithm;
  /** Bytes that count. */
  readonly received: number;
  /** SHA-256 of those bytes, when some process had hashed all of them. */
  readonly digestSoFar: Digest | undefined;
  /** Goes up with every change: a writer that holds an old one has lost the upload. */
  readonly version: number;
  /** The holder that writes to it, which may have ended meanwhile; undefined when none does. */
  readonly claimedBy: string | undefined;
  readonly startedAt: number;
  /** Goes up whenever a client is told where the upload stands. */
  readonly told: number;
}

export interface NewUpload {
  readonly id: string;
  readonly partKey: string;
  readonly algorithm: Algorithm;
  readonly expiresAt: number;
  /** How many bytes will come, when that is known. */
  readonly announced?: number | undefined;
  /** The client that begins it, of which no more than `atMost` uploads may be unfinished; not counted when absent. */
  readonly begunBy?: { readonly client: string; readonly atMost: number } | undefined;
}

export interface UploadClaim {
  readonly id: string;
  /** The version that the claimer has seen. */
  readonly version: number;
  readonly holder: string;
  /** A holder that is known to have ended, or to be out of reach: what it held is free, whatever its lease says. */
  readonly gone?: string | undefined;
  /** Renews the lease of `holder` in the same transaction, until this time. */
  readonly leaseUntil?: number | undefined;
  readonly expiresAt: number;
  /** What the part file is about to become, when it is about to: known before the rename, so that no file is orphaned. */
  readonly finalKey?: string;
}

export interface UploadProgress {
  readonly id: string;
  /** The version that the writer holds. */
  readonly version: number;
  readonly received: number;
  readonly partState?: string | undefined;
  readonly digestSoFar: Digest | undefined;
  readonly staged: Uint8Array | undefined;
  readonly expiresAt: number;
  /** Refused unless the record has this still; not compared when absent. */
  readonly told?: number | undefined;
}

/** Where the bytes of an upload lie: the state is the store's. */
export interface PartLocation {
  readonly key: string;
  readonly state: string | undefined;
}

export interface FinishedUpload {
  readonly id: string;
  readonly version: number;
  readonly digest: Digest;
  readonly size: number;
  readonly location: BlobLocation;
}

/** Nothing when there is no such repository yet, or the client has as many uploads as it may have. */
const CREATE = `
  insert into upload (id, repo, part_key, algorithm, received, version, started_at, expires_at, begun_by)
  select $1, id, $3, $4, 0, 1, $5, $6, $7 from repo
  where name = $2 and ($7 is null or not exists (select 1 from upload where begun_by = $7 limit 1 offset $8))
  returning id`;

const COUNTED = query(
  { name: repositoryName, counted: integer },
  `select r.name, u.counted from upload u join repo r on r.id = u.repo where u.id = $1`,
);

const RESERVE = `update upload set counted = $3 where id = $1 and version = $2 returning id`;

const FIND = query(
  {
    partKey: text,
    partState: optional(text),
    finalKey: optional(text),
    algorithm,
    received: integer,
    digestSoFar: optional(digest),
    version: integer,
    claimedBy: optional(text),
    startedAt: integer,
    told: integer,
    staged: optional(bytes),
  },
  `
  select u.part_key, u.part_state, u.final_key, u.algorithm, u.received, u.digest_so_far, u.version, u.claimed_by,
    u.started_at, u.told, u.staged
  from upload u join repo r on r.id = u.repo where u.id = $2 and r.name = $1`,
);

/** Whether the process that an upload names still runs, as far as its lease says; $1 is the time. */
const HOLDER_RUNS = `exists (select 1 from holder where id = upload.claimed_by and until > $1)`;

const CLAIM = query(
  { version: integer },
  `
  update upload
  set claimed_by = $4, expires_at = $5, final_key = coalesce($6, final_key), part_file = 1, counted = received,
    version = version + 1
  where id = $2 and version = $3
    and (claimed_by is null or claimed_by = $4 or claimed_by = $7 or not ${HOLDER_RUNS})
  returning version`,
);

const RELEASE = `
  update upload set claimed_by = null, counted = received where id = $1 and claimed_by = $2 returning id`;

const NAME_FINAL_KEY = `update upload set final_key = $3 where id = $1 and version = $2 returning id`;

const FINAL_KEY = query({ finalKey: optional(text) }, `select final_key from upload where id = $1 and version = $2`);

const PART_KEY = query({ partKey: text }, `select part_key from upload where id = $1 and version = $2`);
const MOVE = `update upload set part_key = $3, part_state = $4 where id = $1 and version = $2`;

const SAVE = query(
  { version: integer },
  `
  update upload
  set received = $3, counted = $3, digest_so_far = $4, expires_at = $5, part_state = $7, staged = $8, claimed_by = null,
    version = version + 1
  where id = $1 and version = $2 and ($6 is null or told = $6)
  returning version`,
);

const TELL = query(
  { received: integer },
  `
  update upload set told = told + 1 where id = $2 and repo = (select id from repo where name = $1)
  returning received`,
);

const ENDED = { repo: integer, partKey: text, finalKey: optional(text) };

const END = query(
  { ...ENDED, partFile: truth, name: repositoryName },
  `
  delete from upload where id = $1 and version = $2 and exists (select 1 from repo where id = upload.repo and name < '~')
  returning repo, part_key, final_key, part_file, (select name from repo where id = upload.repo) as name`,
);

const CANCEL = query(
  ENDED,
  `
  delete from upload where id = $2 and repo = (select id from repo where name = $1) and ($3 is null or version = $3)
  returning repo, part_key, final_key`,
);

const EXPIRE = query(
  ENDED,
  `
  delete from upload where id in (
    select id from upload where expires_at <= $1 and (claimed_by is null or not ${HOLDER_RUNS})
    order by expires_at limit $2)
  returning repo, part_key, final_key`,
);

interface Ended {
  readonly repo: number;
  readonly partKey: string;
  readonly finalKey: string | undefined;
}

/** What an earlier writer had committed, and died before it was a blob, is named by nothing once the row names another. */
function* discardCommitted(before: string | undefined, after: string | null, now: number): Transaction<void> {
  if (before !== undefined && after !== null && before !== after) yield* moveToTrash(before, now);
}

/** What an upload that came to nothing leaves: its bytes, and perhaps a repository that begun with it. */
function* discard(ended: Ended, now: number): Transaction<void> {
  yield* moveAllToTrash(keysOfUpload(ended), now);
  yield* forgetEmpty([ended.repo], now);
}

/** Does the work when what it adds to the upload fits into the quotas of its repository. */
function* withinUpload<Result>(
  all: readonly Quota[],
  id: string,
  additionTo: (counted: number) => Addition,
  work: () => Transaction<Result>,
): Transaction<Result | QuotaProblem> {
  const upload = yield* first(COUNTED, id);
  if (!upload) return yield* work();
  return yield* within(quotasOf(all, upload.name), upload.name, additionTo(upload.counted), work);
}

function* reserve(
  all: readonly Quota[],
  id: string,
  version: number,
  least: number,
  most: number,
): Transaction<number | undefined | QuotaProblem> {
  const upload = yield* first(COUNTED, id);
  if (!upload) return undefined;
  const { name, counted } = upload;
  const quotas = quotasOf(all, name);
  if (quotas.length === 0) return Infinity;
  return yield* within(quotas, name, { bytes: least - counted }, function* (): Transaction<number | undefined> {
    const reserved = counted + (yield* freeBytes(quotas, least - counted, most - counted));
    return (yield* any(RESERVE, id, version, reserved)) ? reserved : undefined;
  });
}

export class Uploads {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /**
   * Records the intent to upload; the repository begins with it when it is new. "too many" when the client has as many as it
   * may have. Durable with the next write that is: after a power loss a part file without a row is removed.
   */
  create(name: RepositoryName, upload: NewUpload): Promise<"done" | "too many" | QuotaProblem> {
    const { id, partKey, algorithm: named, expiresAt, begunBy, announced = 0 } = upload;
    const { clock } = this.#database;
    const begin = function* (): Transaction<"done" | "too many"> {
      const now = clock.now();
      const { client = null, atMost = 0 } = begunBy ?? {};
      const create = (): Transaction<boolean> =>
        any(CREATE, id, name, partKey, named, now, expiresAt, client, Math.max(atMost - 1, 0));
      if (yield* create()) return "done";
      if ((yield* findRepository(name)) !== undefined) {
        // It may have begun between the two statements, where others write at the same time.
        return (yield* create()) ? "done" : "too many";
      }
      const repo = yield* beginRepository(name, now);
      if (yield* create()) return "done";
      yield* forgetEmpty([repo], now);
      return "too many";
    };
    // Something will come, also where nothing is announced.
    return writeWithin(this.#database, name, { bytes: Math.max(announced, 1) }, begin, "soon");
  }

  async find(name: RepositoryName, id: string): Promise<UploadRecord | undefined> {
    const found = await this.#database.engine.read(() => first(FIND, name, id));
    return found && { id, ...found };
  }

  /**
   * The bytes that count, for a client that will go on from there: `save` with an older `told` is refused from then on.
   * Undefined when there is no such upload. Durable after `flush`: what it fences ends with its process too.
   */
  async tell(name: RepositoryName, id: string): Promise<number | undefined> {
    return (await this.#database.engine.write(() => first(TELL, name, id), "soon"))?.received;
  }

  /** The problem of the upload having `total` bytes, when a quota does not allow that. */
  async findProblem(id: string, total: number): Promise<QuotaProblem | undefined> {
    const { engine, quotas } = this.#database;
    if (quotas.length === 0) return undefined;
    return await engine.read(function* (): Transaction<QuotaProblem | undefined> {
      const upload = yield* first(COUNTED, id);
      return upload && (yield* findBytesProblem(quotasOf(quotas, upload.name), total - upload.counted));
    });
  }

  /**
   * Lets the upload, of which the writer holds `version`, count in quotas for at least `least` and at most `most` bytes in all,
   * until it is recorded, claimed or released; returns for how many. Infinite when no quota bounds it. Undefined when the
   * writer had lost the upload. Durable after `flush`.
   */
  async reserve(id: string, version: number, least: number, most: number): Promise<number | undefined | QuotaProblem> {
    const { quotas } = this.#database;
    if (quotas.length === 0) return Infinity;
    return await writeCounted(this.#database, () => reserve(quotas, id, version, least, most), "soon");
  }

  /** The new version; undefined when another holder that runs has the upload, or it was changed since `version`. */
  async claim(claim: UploadClaim): Promise<number | undefined> {
    const { id, version, holder, gone = null, expiresAt, finalKey = null, leaseUntil } = claim;
    const { engine, clock } = this.#database;
    return await engine.write(function* (): Transaction<number | undefined> {
      const now = clock.now();
      if (leaseUntil !== undefined) yield* renewHolder(holder, leaseUntil, now);
      const before = yield* first(FINAL_KEY, id, version);
      const claimed = yield* first(CLAIM, now, id, version, holder, expiresAt, finalKey, gone);
      if (claimed) yield* discardCommitted(before?.finalKey, finalKey, now);
      return claimed?.version;
    });
  }

  /**
   * Gives a claim up and leaves the upload as it is, its version too. False when the holder had lost it. Durable after
   * `flush`: a claim ends with its process anyhow.
   */
  release(id: string, holder: string): Promise<boolean> {
    return this.#database.engine.write(() => any(RELEASE, id, holder), "soon");
  }

  /** Records the key that the part file is about to get; the file of another one becomes trash. False when the claim was lost. */
  nameFinalKey(id: string, version: number, finalKey: string): Promise<boolean> {
    const { engine, clock } = this.#database;
    return engine.write(function* (): Transaction<boolean> {
      const before = yield* first(FINAL_KEY, id, version);
      if (!(yield* any(NAME_FINAL_KEY, id, version, finalKey))) return false;
      yield* discardCommitted(before?.finalKey, finalKey, clock.now());
      return true;
    });
  }

  /**
   * Records the key of a part file that a writer makes to take over from another, as trash from `until` on: should it die
   * before the upload moves to it, it is removed then.
   */
  reservePart(partKey: string, until: number): Promise<void> {
    return this.#database.engine.write(() => moveToTrash(partKey, until));
  }

  /** Lets the holder of a claim continue in another part; the old one goes to the trash. False when it lost the claim. */
  move(id: string, version: number, part: PartLocation): Promise<boolean> {
    const { engine, clock } = this.#database;
    return engine.write(function* (): Transaction<boolean> {
      const held = yield* first(PART_KEY, id, version);
      if (!held) return false;
      yield* run(MOVE, id, version, part.key, part.state ?? null);
      yield* forgetKeys([part.key]);
      yield* moveToTrash(held.partKey, clock.now());
      return true;
    });
  }

  /**
   * Records what has arrived and gives the claim up. The new version; undefined when the writer had lost the claim, or a
   * client was told where the upload stands since `told`.
   */
  async save(progress: UploadProgress): Promise<number | undefined | QuotaProblem> {
    const { id, version, received, digestSoFar, expiresAt, staged = null, told = null, partState = null } = progress;
    const additionTo = (counted: number): Addition => ({ bytes: received - counted });
    const digestBytesSoFar = digestSoFar === undefined ? null : digestBytes(digestSoFar);
    const values = [id, version, received, digestBytesSoFar, expiresAt, told, partState, staged] as const;
    return await this.#writeTo(id, additionTo, function* (): Transaction<number | undefined> {
      return (yield* first(SAVE, ...values))?.version;
    });
  }

  /**
   * Turns the upload into a blob of its repository. False when the upload is gone (its own bytes are then the caller's to
   * remove). Bytes of the same digest that were here already go to the trash.
   */
  finish(
    { id, version, digest: blob, size, location }: FinishedUpload,
    cause?: Cause,
  ): Promise<boolean | QuotaProblem> {
    const database = this.#database;
    const additionTo = (counted: number): Addition => ({ bytes: -counted, linked: { digest: blob, size } });
    return this.#writeTo(id, additionTo, function* (): Transaction<boolean> {
      const now = database.clock.now();
      const ended = yield* first(END, id, version);
      if (!ended) return false;
      const kept = location.kind === "stored" ? location.storageKey : undefined;
      // What earlier requests left that failed: a file that they had committed, or one that the few bytes of this blob need not.
      if (ended.finalKey !== undefined && ended.finalKey !== kept) yield* moveToTrash(ended.finalKey, now);
      if (ended.partFile && kept === undefined) yield* moveToTrash(ended.partKey, now);
      const added = yield* addBlob(blob, size, location, now);
      yield* linkBlob(ended.repo, { id: added, digest: blob }, now, leaseAfter(database, now));
      const change = { action: "push", object: "blob", repository: ended.name, digest: blob, size } as const;
      yield* record(database.recorder, cause, now, change);
      return true;
    });
  }

  /**
   * Ends an upload; its bytes go to the trash. False when there is no such upload, or it is of another version than
   * `version`, where that is given.
   */
  cancel(name: RepositoryName, id: string, version?: number): Promise<boolean> {
    const { engine, clock } = this.#database;
    return engine.write(function* (): Transaction<boolean> {
      const cancelled = yield* first(CANCEL, name, id, version ?? null);
      if (cancelled) yield* discard(cancelled, clock.now());
      return cancelled !== undefined;
    });
  }

  /** Ends uploads whose time is over; returns how many. Durable after `flush`. */
  expire(limit: number): Promise<number> {
    const { engine, clock } = this.#database;
    return engine.write(function* (): Transaction<number> {
      const now = clock.now();
      const expired = yield* rows(EXPIRE, now, limit);
      yield* moveAllToTrash(expired.flatMap(keysOfUpload), now);
      yield* forgetEmpty(
        expired.map(({ repo }) => repo),
        now,
      );
      return expired.length;
    }, "soon");
  }

  /** Writes what fits into the quotas to an upload that is there already. */
  #writeTo<Result>(
    id: string,
    additionTo: (counted: number) => Addition,
    work: () => Transaction<Result>,
  ): Promise<Result | QuotaProblem> {
    const { engine, quotas } = this.#database;
    if (quotas.length === 0) return engine.write(work);
    return writeCounted(this.#database, () => withinUpload(quotas, id, additionTo, work), "durable");
  }
}
