/** Copies of a database as it was at one moment, made while others write to it. */
import { copyFile, open, rename, rm } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { constants } from "node:fs";
import { dirname, join } from "node:path";
import { Connection } from "./connection.ts";
import { DATABASE } from "../database-file.ts";
import { digestBytes } from "../digest-bytes.ts";
import type { Row, SqlEngine, Transaction } from "../sql.ts";
import type { Digest } from "../../oci/digest.ts";
import { makeFileLikeFolder } from "./data-folder.ts";
import { SqliteEngine } from "./sqlite-engine.ts";

/** What of a copied database makes no sense elsewhere: bytes that were arriving, work under way. */
const FORGET = [`delete from upload`, `delete from holder`, `delete from trash`, `delete from lease`];

const RELOCATE = `update blob set storage_key = $2, fingerprint = $3, state = $4 where digest = $1`;

const HAS_SECRET = `select 1 from secret where name = $1 and value = $2`;

const MOMENT = `
  select coalesce((select max(number) from change), 0) || ' ' || (select sum(number) from revision) as moment`;

/** Where the bytes of a blob are in the store of a copy. */
export interface RelocatedBlob {
  readonly digest: Digest;
  readonly storageKey: string;
  readonly fingerprint: string;
  /** Whether the bytes are missing or wrong there. */
  readonly corrupt: boolean;
}

/** Bytes that are copied in one step. */
const STEP = 1024 * 1024;

/** The head of SQLite's write-ahead log, and of each frame in it (https://www.sqlite.org/fileformat2.html#walformat). */
const LOG_HEAD = 32;
const FRAME_HEAD = 24;

export interface CopySteps {
  /** Called with the bytes of the database that are copied so far. */
  readonly onStep?: (bytes: number) => void;
  /** Ends the copying with an error. */
  readonly signal?: AbortSignal;
}

/**
 * A database that other processes write to. Dispose of it after every connection of this process to that database is closed:
 * when a process closes a file, it gives up all of its locks on it (POSIX), those of its connections too.
 */
export class LiveDatabase implements AsyncDisposable {
  readonly #path: string;
  #file: FileHandle | undefined;

  /** The database of a data folder. */
  constructor(folder: string) {
    this.#path = join(folder, DATABASE);
  }

  /**
   * Copies the database to `target`, as of one moment, without stopping its writers. Its log grows by what they
   * write as long as a reader keeps the pages in their place. So all pages are copied before, as they are just then; the
   * reader lasts while they are compared, and those copied again that have changed.
   */
  async copyTo(target: string, steps: CopySteps = {}): Promise<void> {
    this.#file ??= await open(this.#path, "r");
    makeFileLikeFolder(target);
    const copy = await open(target, "r+");
    try {
      await copyPages(this.#file, copy, steps);
      await this.#correct(this.#file, copy, target, steps);
      await copy.sync();
    } finally {
      await copy.close();
    }
  }

  /** Makes a copy of the pages, of different moments, one of this moment. */
  async #correct(file: FileHandle, copy: FileHandle, target: string, steps: CopySteps): Promise<void> {
    const reader = Connection.open(this.#path, ["busy_timeout = 1000", "wal_autocheckpoint = 0"]);
    try {
      // From here on the file changes by commits alone that this reader sees, and those stay in the log.
      reader.exec("begin; select count(*) from sqlite_schema");
      await copyLog(`${this.#path}-wal`, `${target}-wal`);
      await correctPages(file, copy, steps);
      reader.exec("rollback");
      // Otherwise a server has to do that for all that was written meanwhile, while its clients wait.
      reader.exec("pragma wal_checkpoint(passive)");
    } finally {
      reader.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file?.close();
  }
}

async function copyPages(file: FileHandle, copy: FileHandle, { onStep, signal }: CopySteps): Promise<void> {
  const buffer = Buffer.alloc(STEP);
  for (let position = 0; ;) {
    signal?.throwIfAborted();
    const bytes = await readInto(buffer, file, position);
    if (bytes.length === 0) return;
    await writeAll(copy, bytes, position);
    position += bytes.length;
    onStep?.(position);
  }
}

/** Copies what differs. */
async function correctPages(file: FileHandle, copy: FileHandle, { signal }: CopySteps): Promise<void> {
  const [buffer, copiedBuffer] = [Buffer.alloc(STEP), Buffer.alloc(STEP)];
  let position = 0;
  for (;;) {
    signal?.throwIfAborted();
    const bytes = await readInto(buffer, file, position);
    if (bytes.length === 0) break;
    const copied = await readInto(copiedBuffer, copy, position);
    if (!bytes.equals(copied)) await writeAll(copy, bytes, position);
    position += bytes.length;
  }
  await copy.truncate(position);
}

/**
 * Copies the commits that lie in the log. When the log began anew meanwhile, all of its commits that the reader sees were in
 * the database file before: then no log is needed, and half of an old one would do harm.
 */
async function copyLog(path: string, target: string): Promise<void> {
  const log = await open(path, "r").catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
  });
  if (!log) return;
  try {
    const head = await readAt(log, 0, LOG_HEAD);
    if (head.length < LOG_HEAD) return;
    makeFileLikeFolder(target);
    const copy = await open(target, "r+");
    try {
      await writeAll(copy, head, 0);
      await copyFrames(log, copy, head);
      await copy.sync();
    } finally {
      await copy.close();
    }
    if (!head.equals(await readAt(log, 0, LOG_HEAD))) await rm(target);
  } finally {
    await log.close();
  }
}

/** Copies the frames that belong to this head; behind them lie those of earlier logs. */
async function copyFrames(log: FileHandle, copy: FileHandle, head: Buffer): Promise<void> {
  const pageSize = head.readUInt32BE(8);
  const salts = head.subarray(16, 24);
  const frameSize = FRAME_HEAD + pageSize;
  const atOnce = Math.max(1, Math.floor(STEP / frameSize));
  for (let position = LOG_HEAD; ;) {
    const frames = await readAt(log, position, atOnce * frameSize);
    let length = 0;
    while (length + frameSize <= frames.length && frames.subarray(length + 8, length + 16).equals(salts)) {
      length += frameSize;
    }
    await writeAll(copy, frames.subarray(0, length), position);
    position += length;
    if (length < atOnce * frameSize) return;
  }
}

/** A disk that becomes full takes a part of a write, and tells of it with the next one. */
async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let written = 0; written < bytes.length;) {
    written += (await file.write(bytes, written, bytes.length - written, position + written)).bytesWritten;
  }
}

function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  return readInto(Buffer.alloc(length), file, position);
}

/** The bytes at a position, at most as many as the buffer takes, and fewer at the end of the file. They lie in the buffer. */
async function readInto(buffer: Buffer, file: FileHandle, position: number): Promise<Buffer> {
  const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
  return buffer.subarray(0, bytesRead);
}

/** Copies a database that has no writer: of a backup. */
export async function copyDatabase(path: string, target: string): Promise<void> {
  makeFileLikeFolder(target);
  await copyFile(path, target, constants.COPYFILE_FICLONE);
}

/**
 * Opens a copy, brings its schema up to date, and removes what makes no sense elsewhere. Throws `SchemaError` when it is of
 * a newer version than this program.
 */
export async function openCopy(path: string): Promise<SqliteEngine> {
  const engine = await SqliteEngine.open(path, { alone: true });
  await engine.write(function* () {
    for (const text of FORGET) yield { text, values: [] };
  });
  return engine;
}

/** Records in a copy where the bytes of blobs are. */
export async function relocateBlobs(copy: SqlEngine, blobs: readonly RelocatedBlob[]): Promise<void> {
  await copy.write(function* () {
    for (const { digest, storageKey, fingerprint, corrupt } of blobs) {
      const values = [digestBytes(digest), storageKey, fingerprint, corrupt ? "damaged" : "live"];
      yield { text: RELOCATE, values };
    }
  }, "soon");
}

/** How many blobs a copy names, and how many bytes they have. */
export async function blobTotals(copy: SqlEngine): Promise<{ readonly blobs: number; readonly bytes: number }> {
  const text = "select count(*) as blobs, coalesce(sum(size), 0) as bytes from blob";
  const [row] = await copy.read(function* () {
    return (yield { text, values: [] }) as readonly Row[];
  });
  return { blobs: Number(row?.["blobs"]), bytes: Number(row?.["bytes"]) };
}

/** The state of the revisions of a database, or of a copy of it: another one after every change that readers can see. */
export function* momentOf(): Transaction<string> {
  const [row] = (yield { text: MOMENT, values: [] }) as readonly Row[];
  return String(row?.["moment"]);
}

/** Whether a database has this secret of this name. */
export function hasSecret(path: string, name: string, value: Uint8Array): boolean {
  const connection = Connection.open(path, ["busy_timeout = 1000"]);
  try {
    return connection.read({ text: HAS_SECRET, values: [name, value] }).length > 0;
  } finally {
    connection.close();
  }
}

/** Gives a copy that is closed its final name, durable: from then on the folder holds a registry. */
export async function finishCopy(path: string, target: string): Promise<void> {
  const connection = Connection.open(path, ["synchronous = full", "journal_mode = delete"]); // readable without a log
  connection.close();
  await rename(path, target);
  for (const each of [target, dirname(target)]) {
    const handle = await open(each, "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  }
}
