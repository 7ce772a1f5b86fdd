/** When a failed delivery is tried again. */
import type { Endpoint } from "./endpoint.ts";

/** Milliseconds between two tries at the most, unless the settings say a longer `backoff`. */
export const LONGEST_BACKOFF_MS = 60_000;

/** Milliseconds after the first failure; they double with each until the threshold. */
const FIRST_MS = 50;

/**
 * Returns the milliseconds to wait after so many consecutive failures, from 1 on. Below the threshold tries come quickly, so that
 * a restart of the receiver delays little; from there on they are `backoff` apart, and twice as far with each failure, up to a
 * minute. `random` is from 0 to 1: half of each wait is by chance, so that many registries do not come back at once.
 */
export function delayAfter(
  failures: number,
  { threshold, backoffMs }: Pick<Endpoint, "threshold" | "backoffMs">,
  random: number,
): number {
  const longest = Math.max(backoffMs, LONGEST_BACKOFF_MS);
  const whole =
    failures < threshold
      ? Math.min(FIRST_MS * 2 ** (failures - 1), backoffMs)
      : Math.min(backoffMs * 2 ** (failures - threshold), longest);
  return whole / 2 + (whole / 2) * random;
}
