/**
 * Moves what is committed from the log of a database into its file, on a thread of its own: a checkpoint writes and syncs
 * megabytes, and the event loop serves clients meanwhile.
 *
 * Checkpoints are few and large, because each writes a page once that was changed many times since the last one.
 */
import { closeSync, openSync, readSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { codeOf } from "./binding.ts";
import { isSyncFailure } from "./connection.ts";

/** Pages in the log, of 4 KiB, at which a checkpoint begins. */
const DUE_PAGES = 4000;

/** Commits are held for the last pages of a checkpoint alone, and only when those are no more than this … */
const MOST_HELD_PAGES = 1000;

/** … or when the log has this many (64 MiB): where pages are committed faster than copied, commits have to wait. */
const MAX_LOG_PAGES = 16_384;

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
  /** Called when a sync failed: nobody knows what is on the disk then. */
  readonly onSyncFailure: (error: Error) => void;
}

export class Checkpoints {
  readonly #options: CheckpointOptions;
  readonly #duePages: number;
  /** The index of the log, which all processes that have the database open share. */
  readonly #index: number;
  /** Its head: two copies of 48 bytes, then how far a checkpoint came (https://www.sqlite.org/walformat.html). */
  readonly #head = new Uint32Array(25);
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
  }

  /** Resolves when commits may go on; undefined when nothing holds them. For a moment at the end of a checkpoint. */
  get held(): Promise<void> | undefined {
    return this.#held;
  }

  /** To be called after each commit: begins a checkpoint when one is due. */
  committed(): void {
    if (this.#running || this.#waitingPages() < this.#due) return;
    this.#running = this.#checkpoint().finally(() => (this.#running = undefined));
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
    let before: number;
    let left = this.#waitingPages();
    // Nobody waits for these passes; each copies what was committed beside the one before. Where they come to no end,
    // somebody reads an old state, or pages are committed as fast as they are copied.
    do {
      before = left;
      await this.#ask("passive");
      left = this.#waitingPages();
    } while (left > MOST_HELD_PAGES && left < before);
    // The log can begin anew, and the file is synced, only when nothing is left in it.
    if (left <= MOST_HELD_PAGES || this.#pages() >= MAX_LOG_PAGES) {
      this.#held = this.#ask("restart");
      await this.#held;
      this.#held = undefined;
      left = this.#waitingPages();
    }
    this.#due = left + this.#duePages;
  }

  async #ask(mode: "passive" | "restart"): Promise<void> {
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
    thread.on("error", () => undefined); // it ends then, and who waits for it is told by that
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
  // In the mode `restart` others cannot commit while it waits for readers.
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
