/**
 * Writes the lines of the log to standard output without affecting requests: writing never throws, blocks, spins or delays a
 * stop. What cannot be written is dropped and counted, and the log says so once when it can be written again.
 *
 * A line whose write fails (a full disk, a reader that has gone) is dropped at once. Lines that the reader does not take
 * yet wait, up to a number of bytes; beyond that new ones are dropped.
 */
import { constants, fstatSync, openSync, write, writeSync } from "node:fs";
import type { Stats } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

/** A line that was written soon is in the file so many milliseconds later, unless the file does not take it. */
const DELAY_MS = 10;

/** So many lines, or bytes of them, are gathered at the most before they are written. */
const MAX_GATHERED = 256;
const MAX_GATHERED_BYTES = 64 * 1024;

/** Bytes that wait at the most for a reader that is slow or stalled … */
const MAX_WAITING_BYTES = 4 * 1024 * 1024;
/** … and so many more for lines of the audit. */
const AUDIT_RESERVE_BYTES = 1024 * 1024;

/**
 * Bytes of one write: what a pipe takes whole or not at all (POSIX: PIPE_BUF; 4096 on Linux), and a socket too. Processes
 * that share their standard output so never tear each other's lines, but for a single line that is longer. A file on a
 * disk takes whatever it is given.
 */
const PIECE_BYTES = 4096;

/** Between two tries at a file that takes nothing now; it doubles. */
const FIRST_RETRY_MS = 10;
const LONGEST_RETRY_MS = 50;

/** After a failed write the log says what was dropped as soon as it can: it is tried so often. */
const PROBE_MS = 1000;

/** Bounds of waiting for the last lines at the end: while nothing is taken, and in all. */
const END_IDLE_MS = 100;
const END_MS = 1000;

const NEWLINE = 0x0a;

export interface DroppedLines {
  readonly lines: number;
  /** How many of them were lines of the audit. */
  readonly auditLines: number;
}

interface Chunk {
  /** What is still to be written: whole lines, but for the first when a part of it is in the file. */
  rest: Buffer;
  readonly kind: "lines" | "audit" | "notice";
  /** Of a notice: what it says was dropped. */
  readonly told?: DroppedLines;
  begun: boolean;
}

export class LogWriter {
  readonly #file: number;
  /** The same file, opened for this process alone, where a write that the file does not take returns at once. */
  readonly #nonBlocking: number | undefined;
  readonly #maxPiece: number;
  readonly #isFile: boolean;
  readonly #noticeOf: (dropped: DroppedLines, reason: string) => string;

  #gathered: (() => string)[] = [];
  #gatheredBytes = 0;
  readonly #queue: Chunk[] = [];
  #queuedBytes = 0;
  /** Whether a write runs, or is to be tried again after a pause. */
  #isBusy = false;
  #retryMs = FIRST_RETRY_MS;
  #lastProgress = performance.now();
  /** Whether the last write failed. */
  #fails = false;
  #isProbing = false;
  /** Whether a part of a line is in the file whose rest was dropped. */
  #isTorn = false;
  #untold: DroppedLines = { lines: 0, auditLines: 0 };
  #reason = "";
  #uncounted: DroppedLines = { lines: 0, auditLines: 0 };
  #onDropped: ((dropped: DroppedLines) => void) | undefined;

  /**
   * `file` is the number of an open file, such as 1 for standard output. `noticeOf` gives the line that says what was
   * dropped, and why.
   */
  constructor(file: number, noticeOf: (dropped: DroppedLines, reason: string) => string) {
    this.#file = file;
    this.#noticeOf = noticeOf;
    const stats = statsOf(file);
    this.#isFile = stats?.isFile() ?? false;
    this.#nonBlocking = stats && reopened(file, stats);
    this.#maxPiece = this.#isFile ? Infinity : PIECE_BYTES;
    process.on("exit", () => this.#writeLast());
  }

  /** Whether lines of the audit were dropped and nothing could be written since. */
  get auditFails(): boolean {
    return this.#untold.auditLines > 0;
  }

  /** Is called with all that is dropped, from the first line on. */
  set onDropped(listener: (dropped: DroppedLines) => void) {
    this.#onDropped = listener;
    this.#report();
  }

  /** Writes a line at once when the file takes it, behind all that came before. */
  write(line: string, { isAudit = false }: { readonly isAudit?: boolean } = {}): void {
    this.#enqueueGathered();
    this.#enqueue(Buffer.from(line), isAudit ? "audit" : "lines");
    this.#flush();
  }

  /** Writes a line soon, together with others. `bytes` is about what it and all that it holds on to need in memory. */
  writeSoon(line: () => string, bytes: number): void {
    if (this.#gathered.length === 0) setTimeout(() => this.flush(), DELAY_MS);
    this.#gathered.push(line);
    this.#gatheredBytes += bytes;
    if (this.#gathered.length >= MAX_GATHERED || this.#gatheredBytes >= MAX_GATHERED_BYTES) this.flush();
  }

  /** Writes what has been gathered. */
  flush(): void {
    this.#enqueueGathered();
    this.#flush();
  }

  /** Resolves when everything is written, or is not going to be: it does not wait for a reader that has stalled. */
  async end(): Promise<void> {
    this.flush();
    const started = performance.now();
    while (this.#queue.length > 0) {
      const now = performance.now();
      if (now - started > END_MS || now - Math.max(this.#lastProgress, started) > END_IDLE_MS) return;
      await sleep(FIRST_RETRY_MS);
    }
  }

  #enqueueGathered(): void {
    if (this.#gathered.length === 0) return;
    const [gathered, bytes] = [this.#gathered, this.#gatheredBytes];
    this.#gathered = [];
    this.#gatheredBytes = 0;
    // Lines that cannot be written are not formatted.
    if (this.#queuedBytes + bytes > MAX_WAITING_BYTES) this.#drop(gathered.length, 0, TOO_SLOW);
    else this.#enqueue(Buffer.from(gathered.map((line) => line()).join("")), "lines");
  }

  #enqueue(rest: Buffer, kind: "lines" | "audit"): void {
    const most = MAX_WAITING_BYTES + (kind === "audit" ? AUDIT_RESERVE_BYTES : 0);
    if (this.#queuedBytes + rest.length > most) return this.#dropChunk({ rest, kind, begun: false }, TOO_SLOW);
    this.#queue.push({ rest, kind, begun: false });
    this.#queuedBytes += rest.length;
  }

  #flush(): void {
    while (!this.#isBusy) {
      const chunk = this.#next();
      if (!chunk) return;
      const length = pieceLength(chunk.rest, this.#maxPiece);
      if (this.#nonBlocking === undefined) {
        this.#isBusy = true;
        write(this.#file, chunk.rest, 0, length, null, (error, written) => {
          this.#isBusy = false;
          if (this.#settle(chunk, error ?? written)) this.#flush();
        });
        return;
      }
      let outcome: number | NodeJS.ErrnoException;
      try {
        outcome = writeSync(this.#nonBlocking, chunk.rest, 0, length);
      } catch (error) {
        outcome = error as NodeJS.ErrnoException;
      }
      if (!this.#settle(chunk, outcome)) return;
    }
  }

  /** The chunk to write next: what was dropped is said first after a failure, and else behind all that waited. */
  #next(): Chunk | undefined {
    const [first] = this.#queue;
    if (this.#untold.lines === 0 || (first && !this.#fails) || first?.kind === "notice") return first;
    const line = this.#noticeOf(this.#untold, this.#reason);
    const rest = Buffer.from(this.#isTorn ? `\n${line}` : line);
    const notice: Chunk = { rest, kind: "notice", told: this.#untold, begun: false };
    this.#queue.unshift(notice);
    this.#queuedBytes += notice.rest.length;
    return notice;
  }

  /** Takes note of how a write ended; true when the next one may follow. */
  #settle(chunk: Chunk, outcome: number | NodeJS.ErrnoException): boolean {
    if (outcome === 0 || (typeof outcome !== "number" && isStall(outcome))) {
      this.#isBusy = true;
      setTimeout(() => {
        this.#isBusy = false;
        this.#flush();
      }, this.#retryMs).unref();
      this.#retryMs = Math.min(this.#retryMs * 2, LONGEST_RETRY_MS);
      return false;
    }
    if (typeof outcome !== "number") {
      this.#fail(outcome);
      return false;
    }
    this.#lastProgress = performance.now();
    this.#retryMs = FIRST_RETRY_MS;
    this.#fails = false;
    this.#queuedBytes -= outcome;
    chunk.rest = chunk.rest.subarray(outcome);
    chunk.begun = true;
    if (chunk.rest.length > 0) return true;
    this.#queue.shift();
    if (chunk.told) {
      const { lines, auditLines } = chunk.told;
      this.#untold = sum(this.#untold, { lines: -lines, auditLines: -auditLines });
      this.#isTorn = false;
    }
    return true;
  }

  /** Drops all that waits, and tries again after a while whether the file can be written. */
  #fail({ code = "an unknown reason" }: NodeJS.ErrnoException): void {
    this.#fails = true;
    if (this.#queue[0]?.begun) this.#isTorn = true;
    const dropped = this.#queue.splice(0);
    this.#queuedBytes = 0;
    for (const chunk of dropped) this.#dropChunk(chunk, code);
    if (this.#isProbing) return;
    this.#isProbing = true;
    setTimeout(() => {
      this.#isProbing = false;
      this.flush();
    }, PROBE_MS).unref();
  }

  #dropChunk({ rest, kind }: Chunk, reason: string): void {
    if (kind !== "notice") this.#drop(kind === "audit" ? 1 : linesIn(rest), kind === "audit" ? 1 : 0, reason);
  }

  #drop(lines: number, auditLines: number, reason: string): void {
    this.#reason = reason;
    this.#untold = sum(this.#untold, { lines, auditLines });
    this.#uncounted = sum(this.#uncounted, { lines, auditLines });
    this.#report();
  }

  #report(): void {
    if (!this.#onDropped || this.#uncounted.lines === 0) return;
    const dropped = this.#uncounted;
    this.#uncounted = { lines: 0, auditLines: 0 };
    this.#onDropped(dropped);
  }

  /** When the process exits, where that cannot block. */
  #writeLast(): void {
    const file = this.#nonBlocking ?? (this.#isFile && !this.#isBusy ? this.#file : undefined);
    if (file === undefined) return;
    try {
      this.#enqueueGathered();
      for (let chunk = this.#next(); chunk; chunk = this.#next()) {
        const written = writeSync(file, chunk.rest, 0, pieceLength(chunk.rest, this.#maxPiece));
        if (!this.#settle(chunk, written)) return;
      }
    } catch {
      // The error cannot be reported anywhere.
    }
  }
}

const TOO_SLOW = "the reader is too slow";

/** Undefined when it is no open file. */
function statsOf(file: number): Stats | undefined {
  try {
    return fstatSync(file);
  } catch {
    return undefined;
  }
}

/**
 * Opens a pipe or a terminal once more, non-blocking: whether a write blocks is a property of the open file, and this one
 * is shared with other programs, which do not expect that. Undefined where that is not possible: not on Linux, or the file
 * is another user's, a file on a disk or a socket. Then writes go to the thread pool, one at a time, and a thread of it
 * waits for a stalled reader.
 */
function reopened(file: number, stats: Stats): number | undefined {
  if (process.platform !== "linux" || !(stats.isFIFO() || stats.isCharacterDevice())) return undefined;
  const { O_WRONLY, O_NONBLOCK, O_NOCTTY } = constants;
  try {
    return openSync(`/proc/self/fd/${file}`, O_WRONLY | O_NONBLOCK | O_NOCTTY);
  } catch {
    return undefined;
  }
}

/** Whether the file takes nothing now, and may later. */
function isStall({ code }: NodeJS.ErrnoException): boolean {
  return code === "EAGAIN" || code === "EWOULDBLOCK" || code === "EINTR" || code === "EBUSY";
}

/** How many bytes to write next: as many whole lines as go together, or one that is too long. */
function pieceLength(lines: Buffer, most: number): number {
  if (lines.length <= most) return lines.length;
  const end = lines.lastIndexOf(NEWLINE, most - 1);
  return (end === -1 ? lines.indexOf(NEWLINE) : end) + 1 || lines.length;
}

function linesIn(bytes: Buffer): number {
  let count = 0;
  for (let at = bytes.indexOf(NEWLINE); at !== -1; at = bytes.indexOf(NEWLINE, at + 1)) count++;
  return count;
}

function sum(a: DroppedLines, b: DroppedLines): DroppedLines {
  return { lines: a.lines + b.lines, auditLines: a.auditLines + b.auditLines };
}
