/** Background work that commits give rise to, such as those of commands, which run in processes of their own. */
import { pause } from "../lib/pause.ts";
import type { Backend } from "./backend.ts";

/** Milliseconds after which a commit is seen at the latest, unless the watch says others. */
const INTERVAL_MS = 1000;

export interface CommitWatch {
  /** Ends the watch; work that is under way has to look at it itself. */
  readonly signal: AbortSignal;
  /** Called when the work fails; it is done again after the interval. */
  readonly onError: (error: unknown) => void;
  readonly intervalMs?: number;
}

/**
 * Does the work at first, and after each interval in which anything was committed, by whatever process, or in which the work
 * asked for it: when it returns "again". Resolves when the signal said stop.
 */
export async function afterCommits(
  { metadata }: Pick<Backend, "metadata">,
  { signal, onError, intervalMs = INTERVAL_MS }: CommitWatch,
  work: () => Promise<"done" | "again">,
): Promise<void> {
  let seen: number | undefined;
  do {
    try {
      const now = metadata.lastCommit();
      if (now === seen) continue;
      seen = now;
      if ((await work()) === "again") seen = undefined;
    } catch (error) {
      onError(error);
      seen = undefined;
    }
  } while (await pause(intervalMs, signal));
}
