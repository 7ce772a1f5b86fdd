/**
 * Slows down password guessing without locking users out. Failures run into buckets that leak: one for an address, one for an
 * account, and one for both together. Of one account and one address an attempt a second is verified, however full they are:
 * so the right password gets in. A last bucket bounds what an address may guess over all names: only attempts that have
 * failed run into it, so that any number of users behind one address may log in at once.
 */
import { hash, randomBytes } from "node:crypto";
import type { Clock } from "../lib/clock.ts";
import { LruCache, textBytes } from "../lib/lru.ts";
import { customerNetwork } from "../lib/network.ts";
import type { BasicCredentials } from "./verifier.ts";

interface Bucket {
  /** Failures that it holds. */
  readonly size: number;
  /** Milliseconds in which one of them leaks. */
  readonly leakMs: number;
}

/** An address that guesses at one account fills the first; at many, the second; many addresses at one account, the third. */
const BUCKETS = {
  pair: { size: 10, leakMs: 10_000 },
  address: { size: 50, leakMs: 2_000 },
  account: { size: 100, leakMs: 5_000 },
} as const satisfies Record<string, Bucket>;

/** After so long an attempt is verified, whatever failed before for this account and address. */
export const THROTTLE_MS = 1000;

/** What an address may guess, whatever names it invents: so many at once, and then ten in a second. */
const ALL_NAMES: Bucket = { size: 200, leakMs: 100 };

/** Credentials accepted within this time are not slowed down by other attempts: 30 days. */
const PROVEN_MS = 30 * 86_400_000;

/** Of all buckets together: those of 30,000 attempts and more. Only attempts that were verified need any. */
const MAX_BUCKET_BYTES = 8 * 1024 ** 2;

/** Bytes for credentials accepted lately: those of 10,000 users and more. */
const MAX_PROVEN_BYTES = 4 * 1024 ** 2;

interface Level {
  readonly level: number;
  readonly at: number;
}

/** An attempt that counts as failed until it is settled: so a hundred at once count as a hundred. */
export interface Attempt {
  /** Whose turn it is in the queue of hashes: its address's, or its own when the same credentials were good lately. */
  readonly turn: string;
  /** The credentials were accepted: removes the attempt, and records them. */
  succeed(): void;
  /** They were not: forgets that they ever were. */
  fail(): void;
  /** They were not verified, neither accepted nor refused: removes the attempt. */
  forgive(): void;
}

export class LoginThrottle {
  readonly #clock: Clock;
  readonly #levels = new LruCache<string, Level>(MAX_BUCKET_BYTES);
  /** When credentials were last accepted, by a keyed hash of them. */
  readonly #proven = new LruCache<string, number>(MAX_PROVEN_BYTES);
  readonly #key = randomBytes(32).toString("base64");

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Returns undefined when this attempt comes too soon after others: in `THROTTLE_MS` one is verified again. */
  begin(credentials: BasicCredentials, address: string | undefined): Attempt | undefined {
    const { name, password } = credentials;
    const from = customerNetwork(address ?? "local");
    const secret = hash("sha256", `${this.#key}${name}:${password}`, "base64");
    if (this.#elapsedSince(this.#proven.get(secret)) < PROVEN_MS) return this.#attempt(secret, `proven ${name}`, []);
    const all = `all ${from}`;
    if (this.#level(all, ALL_NAMES) + 1 > ALL_NAMES.size) return undefined;
    const pair = `pair ${from} ${name}`;
    const buckets: [key: string, bucket: Bucket][] = [
      [pair, BUCKETS.pair],
      [`address ${from}`, BUCKETS.address],
      [`account ${name}`, BUCKETS.account],
    ];
    const isFull = buckets.some(([key, bucket]) => this.#level(key, bucket) + 1 > bucket.size);
    if (isFull && this.#elapsedSince(this.#levels.get(pair)?.at) < THROTTLE_MS) return undefined;
    for (const [key, bucket] of buckets) this.#fill(key, Math.min(this.#level(key, bucket) + 1, bucket.size));
    return {
      ...this.#attempt(secret, from, buckets),
      fail: () => this.#fill(all, Math.min(this.#level(all, ALL_NAMES) + 1, ALL_NAMES.size)),
    };
  }

  #attempt(secret: string, turn: string, buckets: readonly [key: string, bucket: Bucket][]): Attempt {
    const forgive = (): void => {
      for (const [key, bucket] of buckets) this.#fill(key, Math.max(0, this.#level(key, bucket) - 1));
    };
    return {
      turn,
      forgive,
      fail: () => void this.#proven.delete(secret),
      succeed: () => {
        forgive();
        this.#proven.set(secret, this.#clock.now(), textBytes(secret));
      },
    };
  }

  #level(key: string, { leakMs }: Bucket): number {
    const found = this.#levels.get(key);
    return found ? Math.max(0, found.level - this.#elapsedSince(found.at) / leakMs) : 0;
  }

  /** A clock that was set back must not make clients wait. */
  #elapsedSince(at: number = -Infinity): number {
    const elapsed = this.#clock.now() - at;
    return elapsed < 0 ? Infinity : elapsed;
  }

  #fill(key: string, level: number): void {
    if (level > 0) this.#levels.set(key, { level, at: this.#clock.now() }, 64 + textBytes(key));
    else this.#levels.delete(key);
  }
}
