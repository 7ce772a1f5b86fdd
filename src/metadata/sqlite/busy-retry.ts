/** Retries while another process has the database locked. */
import { randomInt } from "node:crypto";
import { BusyError } from "../../lib/busy-error.ts";
import { pause } from "../../lib/pause.ts";
import { sqliteCode } from "./connection.ts";

/** Milliseconds after which a database that stays busy is given up on. */
const LIMIT_MS = 10_000;
/** … and those that each call retries at least, however long the database has been busy for others. */
const LEAST_MS = 1000;

/**
 * Retries of all who do the same with one database. A request may write several times: it is answered when the database has
 * been busy for the limit, and does not wait for that long with each write.
 */
export class BusyRetry {
  /** Since when no call has succeeded, and when the database was last found busy. */
  #busy: { readonly since: number; at: number } | undefined;

  /** Runs `attempt` until the database is not busy with another process. Throws `BusyError` when that takes too long. */
  async run<Result>(attempt: () => Result): Promise<Result> {
    const began = performance.now();
    for (;;) {
      try {
        const result = attempt();
        this.#busy = undefined;
        return result;
      } catch (error) {
        if (!isBusy(error)) throw error;
        if (this.#isGivenUp(began)) throw new BusyError("the database is busy with another process", { cause: error });
        await pause(1 + randomInt(10));
      }
    }
  }

  #isGivenUp(began: number): boolean {
    const now = performance.now();
    // What was busy when it was last asked, a while ago, may have been free since.
    if (!this.#busy || began - this.#busy.at > LEAST_MS) this.#busy = { since: began, at: now };
    this.#busy.at = now;
    return now > Math.max(this.#busy.since + LIMIT_MS, began + LEAST_MS);
  }
}

export function isBusy(error: unknown): boolean {
  return sqliteCode(error)?.startsWith("SQLITE_BUSY") ?? false;
}
