/** Waiting that can be ended. */
import { setTimeout as sleep } from "node:timers/promises";

/** Waits; false when `signal` said stop before it was over. */
export async function pause(milliseconds: number, signal?: AbortSignal): Promise<boolean> {
  try {
    await sleep(milliseconds, undefined, signal && { signal });
    return true;
  } catch {
    return false; // the only way a sleep fails is that it was ended
  }
}
