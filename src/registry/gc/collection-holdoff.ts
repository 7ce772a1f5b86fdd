/** Times without garbage collection, because leases may exist that this process does not know. */
import type { Clock } from "../../lib/clock.ts";

/** By how much the clock may go faster than time does before it counts as having jumped. */
const CLOCK_JUMP_MS = 60_000;

/**
 * Leases from before the start of this process may still run, and a jump of the clock would end all leases at once: so
 * collection waits for one lease after either.
 */
export class CollectionHoldoff {
  readonly #clock: Clock;
  readonly #leaseMs: number;
  #until: number;
  #last: { readonly clock: number; readonly steady: number };

  constructor(clock: Clock, leaseMs: number) {
    this.#clock = clock;
    this.#leaseMs = leaseMs;
    this.#until = this.#steady() + leaseMs;
    this.#last = { clock: clock.now(), steady: this.#steady() };
  }

  /** Returns whether the clock has jumped since the last call. */
  hasJumped(): boolean {
    const [clock, steady] = [this.#clock.now(), this.#steady()];
    const jumped = clock - this.now() > CLOCK_JUMP_MS;
    if (jumped) this.#until = steady + this.#leaseMs;
    this.#last = { clock, steady };
    return jumped;
  }

  /** Whether nothing may be collected yet. */
  get lasts(): boolean {
    return this.#steady() < this.#until;
  }

  /** The time by the clock as it was last looked at, and what has passed since: no jump has got into it. */
  now(): number {
    return this.#last.clock + Math.floor(this.#steady() - this.#last.steady);
  }

  #steady(): number {
    return this.#clock.steady?.() ?? performance.now();
  }
}
