/** How far a copy of a registry is: a bar at a terminal, lines elsewhere, JSON for programs. */
import { formatSize } from "../lib/size.ts";
import { print } from "./print.ts";
import { showProgress } from "./progress.ts";

/** Between two lines. */
const LINES_EVERY_MS = 10_000;
const JSON_EVERY_MS = 1000;

export interface CopyProgress {
  /** Something is done before the blobs, such as `manifest: 1,000 rows` of the step `database`. */
  step(name: string, done: string): void;
  /** The blobs that are copied so far, and all there are. */
  blobs(done: BlobProgress, total: BlobProgress): void;
  /** Takes a line away that will be written over. */
  end(): void;
}

export interface BlobProgress {
  readonly blobs: number;
  readonly bytes: number;
}

/** Writes to standard error, but JSON to standard output, one object in a line. */
export function showCopyProgress({ json }: { readonly json: boolean }): CopyProgress {
  const isTerminal = process.stderr.isTTY && !json;
  const lines = showProgress("copied:");
  const everyMs = json ? JSON_EVERY_MS : LINES_EVERY_MS;
  let shownAt = performance.now();
  const isDue = (): boolean => {
    const now = performance.now();
    if (now - shownAt < everyMs) return false;
    shownAt = now;
    return true;
  };
  return {
    step(name, done) {
      if (isTerminal) lines.update(0, undefined, () => `${name}: ${done}`);
      else if (!isDue()) return;
      else if (json) print(`${JSON.stringify({ step: name, done })}\n`);
      else process.stderr.write(`${name}: ${done}\n`);
    },
    blobs(done, total) {
      const text = (): string =>
        `${done.blobs.toLocaleString("en")} of ${total.blobs.toLocaleString("en")} blobs, ` +
        `${formatSize(done.bytes)} of ${formatSize(total.bytes)}`;
      if (isTerminal) lines.update(done.bytes, total.bytes, text);
      else if (!isDue()) return;
      else if (json) print(`${JSON.stringify({ step: "blobs", done, total })}\n`);
      else process.stderr.write(`copied ${text()}\n`);
    },
    end: () => lines.end(),
  };
}
