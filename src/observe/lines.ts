/** Lines for a file. Those that are many are gathered for a moment and written together, with one call to the system. */
import { fstatSync, writeSync } from "node:fs";

/** A line is in the file so many milliseconds after it was written at the latest. */
const DELAY_MS = 10;

/** So many lines are written at once. */
const MAX_WAITING = 256;

/**
 * Bytes of one call: what a pipe takes whole or not at all (POSIX: PIPE_BUF; 4096 on Linux). Processes that write into one
 * pipe so never tear each other's lines, but for a single line that is longer. A file takes whatever it is given.
 */
const MAX_PIECE = 4096;

const NEWLINE = 0x0a;

export class Lines {
  readonly #file: number;
  readonly #maxPiece: number;
  #waiting: (() => string)[] = [];

  /** `file` is the number of an open file, such as 1 for standard output. What waits when the process exits is written. */
  constructor(file: number) {
    this.#file = file;
    this.#maxPiece = fstatSync(file).isFile() ? Infinity : MAX_PIECE;
    process.on("exit", () => this.flush());
  }

  /** In the file when it returns, behind all that was written before. */
  write(line: string): void {
    this.#waiting.push(() => line);
    this.flush();
  }

  /** In the file soon, together with others: many lines that are put together one after the other cost less. */
  writeSoon(line: () => string): void {
    if (this.#waiting.length === 0) setTimeout(() => this.flush(), DELAY_MS);
    this.#waiting.push(line);
    if (this.#waiting.length >= MAX_WAITING) this.flush();
  }

  flush(): void {
    let rest = Buffer.from(this.#waiting.map((line) => line()).join(""));
    this.#waiting = [];
    while (rest.length > 0) {
      try {
        rest = rest.subarray(writeSync(this.#file, rest, 0, pieceOf(rest, this.#maxPiece)));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error; // a pipe whose reader is slow
      }
    }
  }
}

/** How many bytes to write next: as many whole lines as go together, or one that is too long. */
function pieceOf(lines: Buffer, most: number): number {
  if (lines.length <= most) return lines.length;
  const end = lines.lastIndexOf(NEWLINE, most - 1);
  return (end === -1 ? lines.indexOf(NEWLINE) : end) + 1 || lines.length;
}
