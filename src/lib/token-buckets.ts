/** How often something may happen for each of many names: buckets that fill by themselves, and from which each time is taken. */
import type { Clock } from "./clock.ts";

interface Bucket {
  /** What was in it then. */
  readonly level: number;
  readonly at: number;
}

/** A bucket for each name that was seen lately; what is remembered is bounded. */
export class TokenBuckets {
  readonly #perMinute: number;
  readonly #clock: Clock;
  readonly #maxNames: number;
  /** The one that was used longest ago comes first. */
  readonly #buckets = new Map<string, Bucket>();

  /** So many for each name in a minute, all at once or one after the other. */
  constructor(perMinute: number, clock: Clock, maxNames = 100_000) {
    this.#perMinute = perMinute;
    this.#clock = clock;
    this.#maxNames = maxNames;
  }

  /** Takes one: 0 when it was there, and otherwise the milliseconds until it will be. */
  take(name: string): number {
    const now = this.#clock.now();
    const perMs = this.#perMinute / 60_000;
    const before = this.#buckets.get(name);
    // A clock that was set back fills nothing.
    const filled = before ? before.level + Math.max(0, now - before.at) * perMs : this.#perMinute;
    const level = Math.min(filled, this.#perMinute);
    if (level < 1) return Math.ceil((1 - level) / perMs);
    this.#buckets.delete(name);
    this.#buckets.set(name, { level: level - 1, at: now });
    if (this.#buckets.size > this.#maxNames) this.#forgetOldest();
    return 0;
  }

  #forgetOldest(): void {
    const [oldest] = this.#buckets.keys();
    if (oldest !== undefined) this.#buckets.delete(oldest);
  }
}
