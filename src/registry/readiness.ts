/** Whether this process should be sent requests: with hysteresis, so that one slow answer of a disk takes no server away. */
import { pause } from "../lib/pause.ts";
import type { Logger } from "../observe/logger.ts";

export type Readiness = "ready" | "not ready" | "draining";

/** Failures in a row after which a server that was ready is not. */
const FAILURES = 3;
/** Successes in a row after which it is again. */
const SUCCESSES = 2;
/** Milliseconds between two checks from the first failure on, until all is well again. */
const INTERVAL_MS = 1000;

export interface ReadinessOptions {
  /** Rejects when database or storage do not respond. */
  readonly check: () => Promise<void>;
  readonly log: Logger;
  /** 1000 when absent. */
  readonly intervalMs?: number;
}

/**
 * As long as all is well, it is checked when asked for, and at no other time. From a failure on it is checked every second,
 * however often it is asked, until it has succeeded often enough.
 */
export class ReadinessWatch implements Disposable {
  readonly #options: ReadinessOptions;
  readonly #stopping = new AbortController();
  /** Undefined before the first check, which decides alone: a server that starts with a broken disk was never ready. */
  #isReady: boolean | undefined;
  #isDraining = false;
  #checking: Promise<boolean> | undefined;
  #isWatching = false;

  constructor(options: ReadinessOptions) {
    this.#options = options;
  }

  /** While it drains it is not ready, whatever the checks say. */
  set isDraining(isDraining: boolean) {
    if (isDraining === this.#isDraining) return;
    this.#isDraining = isDraining;
    this.#options.log.info(
      isDraining ? "draining: /readyz answers 503, and requests are served" : "no longer draining",
    );
  }

  get isDraining(): boolean {
    return this.#isDraining;
  }

  async ask(): Promise<Readiness> {
    if (this.#isDraining) return "draining";
    if (!this.#isWatching) {
      const isWell = await (this.#checking ??= this.#check());
      if (isWell) this.#isReady = true;
      else if (!this.#isWatching) {
        if (this.#isReady === undefined) this.#turn(false);
        void this.#watch();
      }
    }
    return this.#isReady === true ? "ready" : "not ready";
  }

  [Symbol.dispose](): void {
    this.#stopping.abort();
  }

  async #check(): Promise<boolean> {
    try {
      await this.#options.check();
      return true;
    } catch (error) {
      if (this.#isReady !== false) this.#options.log.warn({ err: error }, "a readiness check failed");
      return false;
    } finally {
      this.#checking = undefined;
    }
  }

  /** Runs from a failed check until all is well again. */
  async #watch(): Promise<void> {
    const { intervalMs = INTERVAL_MS } = this.#options;
    this.#isWatching = true;
    let [failures, successes] = [1, 0];
    while (successes < SUCCESSES && (await pause(intervalMs, this.#stopping.signal))) {
      if (await this.#check()) [failures, successes] = [0, successes + 1];
      else [failures, successes] = [failures + 1, 0];
      if (failures === FAILURES && this.#isReady === true) this.#turn(false);
    }
    this.#isWatching = false;
    if (successes >= SUCCESSES && this.#isReady === false) this.#turn(true);
  }

  #turn(isReady: boolean): void {
    this.#isReady = isReady;
    const { log } = this.#options;
    if (isReady) log.info("the server is ready again");
    else log.error("the server is not ready: /readyz answers 503 until database and storage respond again");
  }
}
