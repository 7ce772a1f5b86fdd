/**
 * Moves what is committed from the log of a database into its file, on a thread of its own: a checkpoint writes and syncs
 * megabytes, and the event loop serves clients meanwhile.
 *
 * Checkpoints are few and large, because each writes a page once that was changed many times since the last one.
 */
import { closeSync, fdatasync, openSync, readSync, statSync } from "node:fs";
import { promisify } from "node:util";
import { Worker } from "node:worker_threads";
import { codeOf } from "./binding.ts";
import { isSyncFailure } from "./connection.ts";

/** Pages in the log, of 4 KiB, at which a checkpoint begins. */
export const DUE_PAGES = 4000;

/** Commits are held for the last pages of a checkpoint alone, and only when those are no more than this … */
const MOST_HELD_PAGES = 1000;

/**
 * … or when the log has so many times the pages at which a checkpoint begins (64 MiB): where pages are committed faster than
 * copied, commits have to wait. A file of that size gives its room back, a smaller one is written over.
 */
const LARGE_LOG = 4;

/** Bytes that a page takes in the log. */
const PAGE_BYTES = 4096 + 24;

const syncData = promisify(fdatasync);

/** What the thread answers: SQLite's row, or the error that it met. */
type Answer = object | CheckpointError;

interface CheckpointError {
  readonly message: string;
  /** SQLite's name of it on Bun, its number on Node; undefined when the thread ended. */
  readonly code: string | number | undefined;
}

export interface CheckpointOptions {
  /** The database, whose log is there. */
  readonly path: string;
  /** Pages in the log at which a checkpoint begins; 4,000 when absent. */
  readonly duePages?: number | undefined;
  /** Called when a sync failed: what is on the disk is unknown then. */
  readonly onSyncFailure: (error: Error) => void;
}

export class Checkpoints {
  readonly #options: CheckpointOptions;
  readonly #duePages: number;
  /** The index of the log, which all processes that have the database open share. */
  readonly #index: number;
  /** Its head: two copies of 48 bytes, then how far a checkpoint came (https://www.sqlite.org/walformat.html). */
  readonly #head = new Uint32Array(25);
  readonly #database: number;
  #thread: Worker | undefined;
  #running: Promise<void> | undefined;
  #held: Promise<void> | undefined;
  /** Pages at which the next one begins. */
  #due: number;

  constructor(options: CheckpointOptions) {
    this.#options = options;
    this.#duePages = options.duePages ?? DUE_PAGES;
    this.#due = this.#duePages;
    this.#index = openSync(`${options.path}-shm`, "r");
    this.#database = openSync(options.path, "r");
  }

  /** Resolves when commits may go on; undefined when nothing holds them. For a moment at the end of a checkpoint. */
  get held(): Promise<void> | undefined {
    return this.#held;
  }

  /** To be called after each commit: begins a checkpoint when one is due. What fails of it is tried again after the next commit. */
  committed(): void {
    if (this.#running || !this.#isDue()) return;
    const ended = (): void => void (this.#running = undefined);
    this.#running = this.#checkpoint().then(ended, ended);
  }

  /** Ends the thread, after the checkpoint that is under way. */
  async end(): Promise<void> {
    await this.#running;
    const thread = this.#thread;
    if (!thread) return;
    const ended = new Promise((resolve) => thread.once("exit", resolve));
    thread.postMessage("close");
    await ended;
  }

  /** To be called when all connections are closed: closing a file gives up the locks that the process has on it (POSIX). */
  [Symbol.dispose](): void {
    closeSync(this.#index);
    closeSync(this.#database);
  }

  #isDue(): boolean {
    try {
      return this.#waitingPages() >= this.#due;
    } catch {
      return false; // the commit stands all the same
    }
  }

  /** Pages in the log since it was begun. */
  #pages(): number {
    readSync(this.#index, this.#head, 0, this.#head.byteLength, 0);
    return this.#head[4] ?? 0;
  }

  /** Those of them that are not in the database's file yet. */
  #waitingPages(): number {
    return this.#pages() - (this.#head[24] ?? 0);
  }

  async #checkpoint(): Promise<void> {
    await this.#copyBesideCommits();
    // Where it is as of the sync, the checkpoint that holds commits has little left to sync.
    await this.#sync();
    let left = await this.#copyBesideCommits();
    // The log can begin anew only when nothing is left in it.
    if (left <= MOST_HELD_PAGES || this.#pages() >= LARGE_LOG * this.#duePages) {
      this.#held = this.#ask(this.#isLogFileLarge() ? "truncate" : "restart");
      await this.#held;
      this.#held = undefined;
      left = this.#waitingPages();
    }
    this.#due = left + this.#duePages;
  }

  /**
   * Copies what is in the log, and what is committed meanwhile; no commit waits for that. Returns how many pages are left where
   * it comes to no end: a reader of an old state is open, or pages are committed as fast as they are copied.
   */
  async #copyBesideCommits(): Promise<number> {
    let before: number;
    let left = this.#waitingPages();
    do {
      before = left;
      await this.#ask("passive");
      left = this.#waitingPages();
    } while (left > MOST_HELD_PAGES && left < before);
    return left;
  }

  async #sync(): Promise<void> {
    try {
      await syncData(this.#database);
    } catch (error) {
      this.#options.onSyncFailure(error as Error);
    }
  }

  /** Truncating a large file takes long: the thread has to do it, and no commit. */
  #isLogFileLarge(): boolean {
    return statSync(`${this.#options.path}-wal`).size > LARGE_LOG * this.#duePages * PAGE_BYTES;
  }

  async #ask(mode: "passive" | "restart" | "truncate"): Promise<void> {
    const answer = await this.#answerTo(mode);
    if (!("message" in answer)) return;
    const { message, code } = answer;
    // What else fails is tried again by the next one.
    if (isSyncFailure(typeof code === "number" ? codeOf(code) : code)) this.#options.onSyncFailure(new Error(message));
  }

  #answerTo(mode: string): Promise<Answer> {
    const { promise, resolve } = Promise.withResolvers<Answer>();
    const lost = (error: unknown): void => resolve({ message: String(error), code: undefined });
    try {
      const thread = (this.#thread ??= this.#startThread());
      thread.once("message", resolve);
      thread.once("exit", lost);
      thread.postMessage(mode);
      return promise.finally(() => thread.off("message", resolve).off("exit", lost));
    } catch (error) {
      lost(error);
      return promise;
    }
  }

  #startThread(): Worker {
    // As text, because bundles of this file have no other file that a thread could begin with.
    const thread = new Worker(`(${checkpointOnDemand.toString()})()`, {
      eval: true,
      workerData: this.#options.path,
      execArgv: [],
    });
    thread.on("error", () => undefined); // it ends then, and that tells its callers
    thread.once("exit", () => (this.#thread = undefined));
    thread.unref();
    return thread;
  }
}

/** What the thread runs; it can use nothing of this file. Every message but `close` is the mode of a checkpoint. */
function checkpointOnDemand(): void {
  const { parentPort: port, workerData: path } = process.getBuiltinModule("node:worker_threads");
  const isBun = process.versions["bun"] !== undefined;
  const { Database, DatabaseSync } = process.getBuiltinModule(isBun ? "bun:sqlite" : "node:sqlite") as never as Record<
    "Database" | "DatabaseSync",
    new (path: string) => {
      exec(text: string): void;
      prepare(text: string): { get(): object };
      close(): void;
    }
  >;
  const database = new (isBun ? Database : DatabaseSync)(path as string);
  // In the modes `restart` and `truncate` others cannot commit while it waits for readers.
  database.exec("pragma busy_timeout = 50; pragma wal_autocheckpoint = 0; pragma synchronous = normal");
  port?.on("message", (mode: string) => {
    if (mode === "close") {
      database.close();
      port.close();
      return;
    }
    try {
      port.postMessage(database.prepare(`pragma wal_checkpoint(${mode})`).get());
    } catch (error) {
      const { message, code, errcode } = error as Error & { code?: string; errcode?: number };
      port.postMessage({ message, code: errcode ?? code });
    }
  });
}
