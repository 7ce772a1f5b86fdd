/**
 * Sessions: cached results of verification, so that a client that sends its credentials with each request costs no hash and
 * no signature each time. Passwords are known by a keyed hash only, with a key that the process makes and keeps to itself.
 */
import { hash, randomBytes } from "node:crypto";
import type { Clock } from "../lib/clock.ts";
import { LruCache, textBytes } from "../lib/lru.ts";
import { OncePerTurn } from "../lib/once-per-turn.ts";
import type { BoundedAuthorization } from "./authorization.ts";
import type { Proof } from "./verifier.ts";

/** Of all sessions: those of 8,000 tokens and more. */
export const MAX_SESSION_BYTES = 32 * 1024 ** 2;

/** What a session needs beside texts. */
const SESSION_BYTES = 1500;

/** Longer headers are not cached, because clients choose the size of tokens. */
const MAX_HEADER_LENGTH = 8192;

/** An authenticated principal and its permissions, valid until it expires or its proof becomes invalid. */
export interface Session {
  readonly kind: "session";
  readonly proof: Proof;
  readonly authorization: BoundedAuthorization;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
}

interface CachedSession extends Session {
  /** What it was stored as. */
  decisionBytes: number;
}

export class CredentialCache {
  readonly #clock: Clock;
  readonly #sessions: LruCache<string, CachedSession>;
  readonly #secret = randomBytes(32).toString("base64");
  /** Those of this turn of the event loop alone: under load many requests are read in one, and hashing costs the most. */
  readonly #keysOfTurn = new OncePerTurn((header: string) => hash("sha256", this.#secret + header, "base64"));

  constructor(clock: Clock, maxBytes: number = MAX_SESSION_BYTES) {
    this.#clock = clock;
    this.#sessions = new LruCache(maxBytes);
  }

  /** What its sessions may need. */
  get bytes(): number {
    return this.#sessions.bytes;
  }

  /** By what a session is known that an `Authorization` header has: a token itself, or a hash of a password. */
  keyOf(header: string): string {
    if (header.startsWith("Bearer ")) return header;
    return this.#keysOfTurn.get(header);
  }

  /** Undefined when there is none, or it has expired. Whether its proof still holds is for the caller to ask. */
  find(key: string): Session | undefined {
    const session = this.#sessions.get(key);
    if (session === undefined) return undefined;
    if (this.#clock.now() >= session.expiresAt) {
      this.#sessions.delete(key);
      return undefined;
    }
    if (session.decisionBytes !== session.authorization.decisionBytes) this.store(key, session); // it grew
    return session;
  }

  store(key: string, session: Session): void {
    if (key.length > MAX_HEADER_LENGTH) return;
    const { decisionBytes } = session.authorization;
    const { principal, access } = session.proof;
    const bytes = SESSION_BYTES + textBytes(JSON.stringify([principal, access])) + key.length + decisionBytes;
    this.#sessions.set(key, { ...session, decisionBytes }, bytes);
  }

  delete(key: string): void {
    this.#sessions.delete(key);
  }
}
