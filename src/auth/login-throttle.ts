/**
 * Slows the guessing of passwords. Failures run into buckets that leak: one for an address, one for an account, and one for
 * both together. While one of them is full, nothing more is tried: not even the hash is computed.
 */
import type { Clock } from "../lib/clock.ts";
import { customerNetwork } from "../lib/network.ts";
import { OciError } from "../oci/error.ts";

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

/** Bounds the memory; what was least recently changed goes first. */
const MAX_REMEMBERED = 30_000;

/** Whoever logged in from an address within so long is not kept out by what others do there, or to the account. */
const KNOWN_MS = 30 * 86_400_000;

/** An attempt that counts as failed until somebody says otherwise: so a hundred at once count as a hundred. */
export interface Attempt {
  /** It was right: takes it back, and remembers that this one comes from there. */
  succeed(): void;
  /** Nobody knows whether it was right: takes it back. */
  forgive(): void;
}

export class LoginThrottle {
  readonly #clock: Clock;
  readonly #levels = new Map<string, { readonly level: number; readonly at: number }>();
  /** When somebody last logged in from an address. */
  readonly #known = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Refused with 429 while a bucket is full. */
  begin(name: string, address: string | undefined): Attempt {
    const from = customerNetwork(address ?? "local");
    const pair = `${from} ${name}`;
    const isKnown = this.#clock.now() - (this.#known.get(pair) ?? -Infinity) < KNOWN_MS;
    const keys: [key: string, bucket: Bucket][] = [[`pair ${pair}`, BUCKETS.pair]];
    if (!isKnown) keys.push([`address ${from}`, BUCKETS.address], [`account ${name}`, BUCKETS.account]);
    const waitMs = Math.max(
      ...keys.map(([key, bucket]) => (this.#level(key, bucket) + 1 - bucket.size) * bucket.leakMs),
    );
    if (waitMs > 0) {
      throw new OciError("TOOMANYREQUESTS", {
        message: "too many failed logins: wait a little, and check the user name and the password",
        retryAfterSeconds: Math.ceil(waitMs / 1000),
      });
    }
    for (const [key, bucket] of keys) this.#fill(key, this.#level(key, bucket) + 1);
    const forgive = (): void => {
      for (const [key, bucket] of keys) this.#fill(key, Math.max(0, this.#level(key, bucket) - 1));
    };
    const succeed = (): void => {
      forgive();
      remember(this.#known, pair, this.#clock.now());
    };
    return { succeed, forgive };
  }

  #level(key: string, { leakMs }: Bucket): number {
    const found = this.#levels.get(key);
    return found ? Math.max(0, found.level - (this.#clock.now() - found.at) / leakMs) : 0;
  }

  #fill(key: string, level: number): void {
    if (level > 0) remember(this.#levels, key, { level, at: this.#clock.now() });
    else this.#levels.delete(key);
  }
}

/** Puts it last, and lets the first go when there are too many. */
function remember<Value>(map: Map<string, Value>, key: string, value: Value): void {
  map.delete(key);
  map.set(key, value);
  if (map.size > MAX_REMEMBERED) map.delete(map.keys().next().value ?? "");
}
