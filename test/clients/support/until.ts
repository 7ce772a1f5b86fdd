/** Waiting for a condition, with a bound. */

const BOUND_MS = 60_000;
const PAUSE_MS = 50;

/** Thrown by a condition that can no longer become true. */
export class HopelessError extends Error {
  override readonly name = "HopelessError";
}

/** Resolves once `condition` holds. What it throws counts as "not yet", but for a HopelessError. */
export async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + BOUND_MS;
  let cause: unknown;
  while (performance.now() < end) {
    try {
      if (await condition()) return;
    } catch (error) {
      if (error instanceof HopelessError) throw error;
      cause = error;
    }
    await Bun.sleep(PAUSE_MS);
  }
  throw new Error(`Not within ${BOUND_MS} ms: ${what}`, { cause });
}
