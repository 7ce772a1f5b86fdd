/** What a worker tells the process that started it. */
import type { ProcessCounts } from "../observe/metrics.ts";

export type WorkerMessage =
  | { readonly kind: "listening" }
  /** Counts since the last message. */
  | { readonly kind: "counted"; readonly counts: ProcessCounts };

/** Counts are sent this long after the first of them, in one message. */
const GATHERED_MS = 1000;

/** Sends nothing when the parent process has ended. */
export function tellParent(message: WorkerMessage): void {
  if (process.connected) process.send?.(message);
}

/** Gives a function that counts, and tells the parent soon. */
export function countForParent(): (counts: Partial<ProcessCounts>) => void {
  const nothing: ProcessCounts = { droppedLines: 0, droppedAuditLines: 0, unexpectedErrors: 0 };
  let gathered = nothing;
  const tell = (): void => {
    tellParent({ kind: "counted", counts: gathered });
    gathered = nothing;
  };
  return ({ droppedLines = 0, droppedAuditLines = 0, unexpectedErrors = 0 }) => {
    if (gathered === nothing) setTimeout(tell, GATHERED_MS).unref();
    gathered = {
      droppedLines: gathered.droppedLines + droppedLines,
      droppedAuditLines: gathered.droppedAuditLines + droppedAuditLines,
      unexpectedErrors: gathered.unexpectedErrors + unexpectedErrors,
    };
  };
}
