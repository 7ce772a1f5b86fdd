/**
 * The keys of an issuer of OIDC tokens: found by discovery (OpenID Connect Discovery 1.0, 4), or in a file for an issuer that
 * cannot be reached. What was fetched is used for a while, and fetched again when a token has a key that is not among it.
 */
import { createLocalJWKSet, errors } from "jose";
import type { FlattenedJWSInput, JSONWebKeySet, JWSHeaderParameters } from "jose";
import type { Clock } from "../lib/clock.ts";
import { SingleFlight } from "../lib/single-flight.ts";
import { WatchedFile } from "../lib/watched-file.ts";
import type { Logger } from "../observe/logger.ts";
import { fetchJson } from "./fetched-json.ts";

type KeySet = ReturnType<typeof createLocalJWKSet>;

/** Finds the key that a token says it was signed with; as `jose` wants it. */
export type FindKey = (header: JWSHeaderParameters, token: FlattenedJWSInput) => ReturnType<KeySet>;

/** After so long the keys are fetched again, so that one that was withdrawn is not trusted for ever. */
const MAX_AGE_MS = 600_000;

/** A token with an unknown key makes us ask the issuer, but no more often than that. */
const COOLDOWN_MS = 30_000;

/** When the issuer cannot be reached, the keys that we have are good for so long. */
const MAX_STALE_MS = 86_400_000;

/** The issuer's keys cannot be had: nobody knows whether a token is good. */
export class IssuerUnreachableError extends Error {
  override readonly name = "IssuerUnreachableError";
}

/** Keys in a file of JSON (RFC 7517, 5). A file that cannot be read has none. */
export function keysInFile(path: string, clock: Clock, log: Logger): FindKey {
  const none: KeySet = createLocalJWKSet({ keys: [] });
  const file = new WatchedFile<KeySet>(path, clock, {
    parse: (text) => createLocalJWKSet(JSON.parse(text) as JSONWebKeySet),
    onTrouble(error) {
      log.error({ err: error }, `${path} cannot be read as a set of keys: no token is trusted by it`);
      return none;
    },
  });
  return (header, token) => file.content(header, token);
}

export class DiscoveredKeys {
  readonly #issuer: string;
  readonly #clock: Clock;
  readonly #log: Logger;
  #keys: KeySet | undefined;
  #fetchedAt = -Infinity;
  #triedAt = -Infinity;
  readonly #fetches = new SingleFlight<"keys", void>();

  constructor(issuer: string, clock: Clock, log: Logger) {
    this.#issuer = issuer;
    this.#clock = clock;
    this.#log = log;
  }

  /** Rejects with `IssuerUnreachableError` when there are no keys to look into. */
  async find(header: JWSHeaderParameters, token: FlattenedJWSInput): ReturnType<FindKey> {
    if (this.#age() > MAX_AGE_MS) await this.#fetch();
    try {
      return await this.#usable()(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey) || this.#clock.now() - this.#triedAt < COOLDOWN_MS) throw error;
      await this.#fetch();
      return await this.#usable()(header, token);
    }
  }

  #age(): number {
    return this.#clock.now() - this.#fetchedAt;
  }

  #usable(): KeySet {
    if (!this.#keys || this.#age() > MAX_STALE_MS) {
      throw new IssuerUnreachableError(`the keys of ${this.#issuer} cannot be had`);
    }
    return this.#keys;
  }

  /** Whoever comes meanwhile waits for the same answer; after a failure nobody asks for a while. */
  async #fetch(): Promise<void> {
    const now = this.#clock.now();
    const failedJustNow = this.#triedAt > this.#fetchedAt && now - this.#triedAt < COOLDOWN_MS;
    if (!this.#fetches.has("keys") && failedJustNow) return;
    this.#triedAt = now;
    await this.#fetches.run("keys", () => this.#refresh(now));
  }

  async #refresh(now: number): Promise<void> {
    try {
      const configuration = await fetchJson(`${this.#issuer.replace(/\/$/, "")}/.well-known/openid-configuration`);
      const { issuer, jwks_uri: address } = configuration as { issuer?: unknown; jwks_uri?: unknown };
      // "The issuer value returned MUST be identical" (OpenID Connect Discovery 1.0, 4.3).
      if (issuer !== this.#issuer) throw new Error(`the issuer calls itself ${JSON.stringify(issuer)}`);
      if (typeof address !== "string") throw new Error("the issuer does not say where its keys are");
      this.#keys = createLocalJWKSet((await fetchJson(address)) as JSONWebKeySet);
      this.#fetchedAt = now;
    } catch (error) {
      this.#log.warn({ err: error, issuer: this.#issuer }, "the keys of an issuer of tokens cannot be fetched");
    }
  }
}
