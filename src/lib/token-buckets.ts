/** How often something may happen for each of many names: buckets that fill by themselves, and from which each time is taken. */
import type { Clock } from "./clock.ts";
import { LruCache, textBytes } from "./lru.ts";

interface Bucket {
  /** What was in it then. */
  readonly level: number;
  readonly at: number;
}

/** Bytes of all buckets together: those of 50,000 names and more. */
const MAX_BYTES = 16 * 1024 ** 2;

/** What a bucket needs beside its name. */
const BUCKET_BYTES = 64;

/** A bucket for each name. The one that was used least recently is forgotten, and full again, when there are too many. */
export class TokenBuckets {
  readonly #perMinute: number;
  readonly #clock: Clock;
  readonly #buckets: LruCache<string, Bucket>;

  /** So many for each name in a minute, all at once or one after the other. */
  constructor(perMinute: number, clock: Clock, maxBytes: number = MAX_BYTES) {
    this.#perMinute = perMinute;
    this.#clock = clock;
    this.#buckets = new LruCache(maxBytes);
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
    this.#buckets.set(name, { level: level - 1, at: now }, BUCKET_BYTES + textBytes(name));
    return 0;
  }
}
