/** Few hashes of passwords are computed at once; the others wait, and clients take turns. */
import type { Clock } from "../lib/clock.ts";

/** What waits. */
interface Job {
  readonly since: number;
  readonly start: () => void;
  readonly drop: () => void;
}

/** More would wait for longer than their clients do. */
const MAX_WAITING = 100;

/** Clients have given up by then. */
const MAX_WAIT_MS = 10_000;

export class HashQueue {
  readonly #maxRunning: number;
  readonly #clock: Clock;
  /** By the network of the client, which is at the head when it is its turn. */
  readonly #waiting = new Map<string, Job[]>();
  #running = 0;
  #count = 0;

  constructor(maxRunning: number, clock: Clock) {
    this.#maxRunning = maxRunning;
    this.#clock = clock;
  }

  /**
   * Returns what `work` returns, or undefined when it was not begun: too many wait, and this client has most of them, or it
   * waited for too long.
   */
  async run<Result>(from: string, work: () => Promise<Result>): Promise<Result | undefined> {
    if (!(await this.#turn(from))) return undefined;
    try {
      return await work();
    } finally {
      this.#running--;
      this.#startNext();
    }
  }

  #turn(from: string): Promise<boolean> {
    if (this.#running < this.#maxRunning) {
      this.#running++;
      return Promise.resolve(true);
    }
    return new Promise((resolve) => {
      const job: Job = { since: this.#clock.now(), start: () => resolve(true), drop: () => resolve(false) };
      const jobs = this.#waiting.get(from);
      if (jobs) jobs.push(job);
      else this.#waiting.set(from, [job]);
      if (++this.#count > MAX_WAITING) this.#dropOne();
    });
  }

  /** Returns the latest entry of the client with the most entries; of several such clients, of the latest one. */
  #dropOne(): void {
    let most: [string, Job[]] | undefined;
    for (const entry of this.#waiting) if (!most || entry[1].length >= most[1].length) most = entry;
    if (!most) return;
    const [from, jobs] = most;
    this.#remove(from, jobs, jobs.length - 1)?.drop();
  }

  #startNext(): void {
    while (this.#running < this.#maxRunning) {
      const [next] = this.#waiting;
      if (!next) return;
      const [from, jobs] = next;
      const job = this.#remove(from, jobs, 0);
      if (this.#waiting.delete(from)) this.#waiting.set(from, jobs); // the others' turn comes first
      if (!job) continue;
      if (this.#clock.now() - job.since > MAX_WAIT_MS) job.drop();
      else {
        this.#running++;
        job.start();
      }
    }
  }

  #remove(from: string, jobs: Job[], at: number): Job | undefined {
    const [job] = jobs.splice(at, 1);
    if (jobs.length === 0) this.#waiting.delete(from);
    this.#count--;
    return job;
  }
}
