/** Bulk work beside requests: in small steps, each followed by a rest that is as long as the step was, or longer. */
import { pause } from "./pause.ts";

export interface PaceOptions {
  /** Items of a step, from the smallest to the largest. */
  readonly least: number;
  readonly most: number;
  /** Milliseconds that a step may take, about; 2 when absent, as for one that others have to wait for. */
  readonly stepMs?: number;
  /**
   * Returns another number when anything was committed to the database since it returned the last one, by whatever process. What
   * others commit during a rest makes the rest longer: they need the time.
   */
  readonly commits?: () => number;
  /** Ends each rest. */
  readonly signal?: AbortSignal | undefined;
}

const STEP_MS = 2;
/** A rest is so many times as long as its step when others write. */
const BUSY_REST = 5;

/** Runs steps, each as large as fits into its time. For one caller at a time. */
export class Pace {
  readonly #options: PaceOptions;
  #size: number;
  #tookMs = 0;
  #commits: number | undefined;

  constructor(options: PaceOptions) {
    this.#options = options;
    this.#size = options.least;
  }

  /**
   * Runs a step, which is told how many items it may have. It calls `begun` when it has waited for others and begins: its time
   * counts from the last call.
   */
  async step<Result>(work: (size: number, begun: () => void) => Promise<Result>): Promise<Result> {
    const { least, most, stepMs = STEP_MS, commits } = this.#options;
    let started = performance.now();
    const result = await work(this.#size, () => (started = performance.now()));
    this.#tookMs = performance.now() - started;
    // What came in between, such as the commit of a request, makes steps smaller too.
    const fitting =
      this.#tookMs > stepMs
        ? Math.floor(this.#size * Math.max(0.5, stepMs / this.#tookMs))
        : Math.ceil(this.#size * 1.25);
    this.#size = Math.min(most, Math.max(least, fitting));
    this.#commits = commits?.();
    return result;
  }

  /** Rests from the last step; false when the signal said stop before that was over. */
  async rest(): Promise<boolean> {
    const { commits, signal } = this.#options;
    const isRested = await pause(Math.round(this.#tookMs), signal);
    const othersWrite = commits !== undefined && commits() !== this.#commits;
    if (!isRested || !othersWrite) return isRested;
    return await pause(Math.round(this.#tookMs * (BUSY_REST - 1)), signal);
  }
}
