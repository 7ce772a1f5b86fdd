/**
 * Bulk work beside requests: in small steps, each followed by a rest that is as long as the step took, or longer. Where nobody
 * else has anything to do, some steps follow each other with one empty turn of the event loop between them.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { pause } from "./pause.ts";

export interface PaceOptions {
  /** Items of a step, from the smallest to the largest; 1 when absent, for steps whose size is not the caller's to choose. */
  readonly least?: number;
  readonly most?: number;
  /** Milliseconds that a step may take, about; 2 when absent, as for one that others have to wait for. */
  readonly stepMs?: number;
  /**
   * Returns another number when anything was committed to the database since it returned the last one, by whatever process. What
   * others commit during a rest makes the rest longer: they need the time. Without it no rest is left out.
   */
  readonly commits?: () => number;
  /** Ends each rest. */
  readonly signal?: AbortSignal | undefined;
}

const STEP_MS = 2;
/** Longer rests help no request: a disk that stood still is slow anyhow. */
const MOST_REST_MS = 250;
/** A rest is so many times as long as its step when others write. */
const BUSY_REST = 5;
/** So long after others wrote they are expected to write again. */
const QUIET_AFTER_MS = 250;
/** A rest comes after so many steps at the latest: another process may be waiting for the lock of the database. */
const STEPS_WITHOUT_REST = 5;
/** A turn of the event loop in which nothing was done is over sooner. */
const EMPTY_TURN_MS = 0.2;

/** Runs steps, each as large as fits into its time. For one caller at a time. */
export class Pace {
  readonly #options: PaceOptions & { readonly least: number; readonly most: number; readonly stepMs: number };
  #size: number;
  #tookMs = 0;
  #commits: number | undefined;
  /** Since when no rest has seen others write; undefined before the first. */
  #quietSince: number | undefined;
  /** What steps have taken since the last rest. */
  #unrestedMs = 0;
  /** When the pieces of work since the last rest began. */
  #since = performance.now();

  constructor(options: PaceOptions = {}) {
    this.#options = { least: 1, most: 1, stepMs: STEP_MS, ...options };
    this.#size = this.#options.least;
  }

  /**
   * Runs a step, which is told how many items it may have. It calls `begun` when it has waited for others and begins: its time
   * counts from the last call. A step that throws counts too.
   */
  async step<Result>(work: (size: number, begun: () => void) => Promise<Result>): Promise<Result> {
    const { least, most, stepMs, commits } = this.#options;
    let started = performance.now();
    try {
      return await work(this.#size, () => (started = performance.now()));
    } finally {
      this.#tookMs = performance.now() - started;
      // What came in between, such as the commit of a request, makes steps smaller too.
      const fitting =
        this.#tookMs > stepMs
          ? Math.floor(this.#size * Math.max(0.5, stepMs / this.#tookMs))
          : Math.ceil(this.#size * 1.25);
      this.#size = Math.min(most, Math.max(least, fitting));
      this.#commits = commits?.();
    }
  }

  /** Rests from the last step; false when the signal said stop before that was over. */
  async rest(): Promise<boolean> {
    const { signal } = this.#options;
    this.#unrestedMs += this.#tookMs;
    if (await this.#isAlone()) return signal?.aborted !== true;
    this.#unrestedMs = 0;
    const restMs = Math.min(Math.round(this.#tookMs), MOST_REST_MS);
    const isRested = await pause(restMs, signal);
    if (!this.#othersWrote()) {
      this.#quietSince ??= performance.now();
      return isRested;
    }
    this.#quietSince = undefined;
    return isRested && (await pause(restMs * (BUSY_REST - 1), signal));
  }

  /** Whether the next step keeps nobody waiting: there is no sign of anybody else, in this process or in others. */
  async #isAlone(): Promise<boolean> {
    const { commits, stepMs } = this.#options;
    const started = performance.now();
    const isQuiet = this.#quietSince !== undefined && started - this.#quietSince >= QUIET_AFTER_MS;
    if (!isQuiet || !commits || this.#unrestedMs >= STEPS_WITHOUT_REST * stepMs) return false;
    await nextTurn(); // ends this turn, so that the one behind it is a whole one
    const begun = performance.now();
    await nextTurn();
    return performance.now() - begun < EMPTY_TURN_MS && !this.#othersWrote();
  }

  #othersWrote(): boolean {
    const { commits } = this.#options;
    return commits !== undefined && commits() !== this.#commits;
  }

  /**
   * To be awaited between pieces of work that are shorter than a step: rests once those since the last rest took as long as a
   * step, and returns at once before. False when the signal said stop.
   */
  async restWhenDue(): Promise<boolean> {
    const { stepMs, signal } = this.#options;
    this.#tookMs = performance.now() - this.#since;
    if (this.#tookMs < stepMs) return signal?.aborted !== true;
    const isRested = await this.rest();
    this.#since = performance.now();
    return isRested;
  }
}
