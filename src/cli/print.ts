/** What commands print. It is written whole before they go on: a program that exits has left nothing behind. */
import { writeSync } from "node:fs";
import { escapeControlsInLines } from "../lib/control-characters.ts";
import { CommandError, ReaderGoneError } from "./command-error.ts";

const STDOUT = 1;
const STDERR = 2;

/** Between two tries at a pipe whose reader is slow, and which another program made non-blocking. */
const FULL_PIPE_MS = 10;

/**
 * Writes lines to standard output; names in them come from clients, so their control characters are escaped. Throws
 * `ReaderGoneError`, and `CommandError` when it cannot be written.
 */
export function print(lines: string): void {
  try {
    writeWhole(STDOUT, escapeControlsInLines(lines));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "EPIPE") throw new ReaderGoneError("standard output was closed", { cause: error });
    throw new CommandError(`printing failed: ${message}`, { cause: error });
  }
}

/** The same on standard error. A failed write is ignored. */
export function printError(lines: string): void {
  try {
    writeWhole(STDERR, escapeControlsInLines(lines));
  } catch {
    // The exit code tells.
  }
}

function writeWhole(file: number, text: string): void {
  let rest = Buffer.from(text);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(file, rest));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
      Bun.sleepSync(FULL_PIPE_MS);
    }
  }
}
