/**
 * Names and passwords that were proven a moment ago, so that a client that sends them with each request does not cost a slow
 * hash each time. They are known by a keyed hash only, with a key that the process makes and keeps to itself.
 */
import { hash, randomBytes } from "node:crypto";
import type { Clock } from "../lib/clock.ts";
import type { Identity } from "./identity.ts";

const MAX_AGE_MS = 60_000;

/** Bounds the memory; the oldest go first. */
const MAX_ENTRIES = 10_000;

/** A name, in which there is no colon, and a password as the `Authorization` header has them behind `Basic` (RFC 7617, 2). */
export function basicCredentials(name: string, password: string): string {
  return Buffer.from(`${name}:${password}`).toString("base64");
}

export class VerifiedCredentials {
  readonly #clock: Clock;
  readonly #key = randomBytes(32).toString("base64");
  /** Those of this turn of the event loop alone: under load many requests are read in one, and hashing costs the most. */
  readonly #newKeys = new Map<string, string>();
  /** In order of their age. */
  readonly #entries = new Map<string, { readonly identity: Identity; readonly until: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Of name and password as `basicCredentials` writes them. */
  keyOf(credentials: string): string {
    let key = this.#newKeys.get(credentials);
    if (key === undefined) {
      key = hash("sha256", this.#key + credentials, "base64");
      if (this.#newKeys.size === 0) setImmediate(() => this.#newKeys.clear());
      this.#newKeys.set(credentials, key);
    }
    return key;
  }

  find(key: string): Identity | undefined {
    const entry = this.#entries.get(key);
    return entry && this.#clock.now() < entry.until ? entry.identity : undefined;
  }

  /** Remembers it for a minute, or until it is worth nothing. */
  remember(key: string, identity: Identity, until: number = Infinity): void {
    this.forget(key);
    this.#entries.set(key, { identity, until: Math.min(until, this.#clock.now() + MAX_AGE_MS) });
    if (this.#entries.size > MAX_ENTRIES) this.forget(this.#entries.keys().next().value ?? "");
  }

  forget(key: string): void {
    this.#entries.delete(key);
  }
}
