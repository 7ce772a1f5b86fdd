/** Bulk work beside requests: after each two milliseconds of work a rest that is as long as the work was. */
import { setTimeout as sleep } from "node:timers/promises";

const WORK_MS = 2;

/** Longer rests help no request: a disk that stood still is slow anyhow. */
const MOST_REST_MS = 250;

export class Rests {
  #since = performance.now();

  /** To be awaited between any two small pieces of work: returns at once, or after the rest that is due. */
  async take(): Promise<void> {
    const worked = performance.now() - this.#since;
    if (worked < WORK_MS) return;
    await sleep(Math.min(worked, MOST_REST_MS));
    this.#since = performance.now();
  }
}
