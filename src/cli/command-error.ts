/** How a command ends that cannot do what it was asked. */
import { BusyError } from "../lib/busy-error.ts";
import { fileErrorReason, isFileError } from "../lib/file-error.ts";

/** Ends the program with an exit code; the message is one line that says why and what to do. */
export class CommandError extends Error {
  override readonly name = "CommandError";
  readonly exitCode: number;

  constructor(message: string, options: { readonly cause?: unknown; readonly exitCode?: number } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.exitCode = options.exitCode ?? 1;
  }
}

/** Returns the message for a system error about a file, or for a database that stays busy; undefined for any other error. */
export function systemErrorText(error: unknown): string | undefined {
  if (error instanceof BusyError) return `${error.message}: try again in a moment`;
  return isFileError(error) ? `${error.path ?? "a file"} cannot be used: ${fileErrorReason(error)}` : undefined;
}

/** The reader of what a command prints has gone, as `head` does when it has seen enough. */
export class ReaderGoneError extends Error {
  override readonly name = "ReaderGoneError";
}

/**
 * Runs a command whose exit code 1 means something else than failure: whatever goes wrong ends it with 2. That the reader
 * of its output has gone stays what it is.
 */
export async function failingWith2<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof ReaderGoneError) throw error;
    const message = systemErrorText(error) ?? (error instanceof Error ? error.message : String(error));
    throw new CommandError(message, { cause: error, exitCode: 2 });
  }
}
