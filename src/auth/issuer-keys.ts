/**
 * The keys of an issuer of OIDC tokens: found by discovery (OpenID Connect Discovery 1.0, 4), or in a file for an issuer that
 * cannot be reached. What was fetched is used for a while, and fetched again when a token has a key that is not among it.
 */
import { KeyObject, createHash, createPublicKey } from "node:crypto";
import { createLocalJWKSet, errors } from "jose";
import type { CryptoKey, FlattenedJWSInput, JSONWebKeySet, JWSHeaderParameters } from "jose";
import type { Clock } from "../lib/clock.ts";
import { SingleFlight } from "../lib/single-flight.ts";
import { WatchedFile } from "../lib/watched-file.ts";
import type { Logger } from "../observe/logger.ts";
import { fetchJson } from "./fetched-json.ts";
import { asUsableKey } from "./signed-token.ts";

export interface IssuerKeys {
  /** The key that a token says it was signed with. Rejects with an error of `jose` when there is none that can be used. */
  find(header: JWSHeaderParameters, token: FlattenedJWSInput): Promise<CryptoKey>;
  /** Whether the key of this id is trusted now. */
  has(id: string): boolean;
}

/** By what a key is known, whatever its issuer calls it. */
export function keyIdOf(key: CryptoKey): string {
  return idOf(KeyObject.from(key));
}

/** Keys are fetched again after this time, so that withdrawn keys are no longer trusted. */
const MAX_AGE_MS = 600_000;

/** A token with an unknown key makes us ask the issuer, but no more often than that. */
const COOLDOWN_MS = 30_000;

/** How long known keys are used while the issuer cannot be reached. */
const MAX_STALE_MS = 86_400_000;

/** The issuer's keys cannot be fetched, so its tokens cannot be verified. */
export class IssuerUnreachableError extends Error {
  override readonly name = "IssuerUnreachableError";
}

/** Keys that are read once. */
class KeySet implements IssuerKeys {
  readonly #find: ReturnType<typeof createLocalJWKSet>;
  readonly #ids: ReadonlySet<string>;

  /** Throws when it is no set of keys (RFC 7517, 5). Keys that cannot be used are passed over. */
  constructor(set: JSONWebKeySet) {
    this.#find = createLocalJWKSet(set);
    this.#ids = new Set(
      set.keys.flatMap((key) => {
        try {
          return [idOf(createPublicKey({ key, format: "jwk" }))];
        } catch {
          return [];
        }
      }),
    );
  }

  find(header: JWSHeaderParameters, token: FlattenedJWSInput): Promise<CryptoKey> {
    return asUsableKey(this.#find(header, token));
  }

  has(id: string): boolean {
    return this.#ids.has(id);
  }
}

const NO_KEYS = new KeySet({ keys: [] });

function idOf(key: KeyObject): string {
  return createHash("sha256")
    .update(key.export({ format: "der", type: "spki" }))
    .digest("base64url");
}

/** Keys in a file of JSON, which is read again when it changed. A file that cannot be read has none. */
export class KeysInFile implements IssuerKeys {
  readonly #file: WatchedFile<KeySet>;

  constructor(path: string, clock: Clock, log: Logger) {
    this.#file = new WatchedFile(path, clock, {
      parse: (text) => new KeySet(JSON.parse(text) as JSONWebKeySet),
      onError(error) {
        log.error({ err: error }, `${path} cannot be read as a JWKS: tokens signed by its keys are rejected`);
        return NO_KEYS;
      },
    });
  }

  find(header: JWSHeaderParameters, token: FlattenedJWSInput): Promise<CryptoKey> {
    return this.#file.content.find(header, token);
  }

  has(id: string): boolean {
    return this.#file.content.has(id);
  }
}

export class DiscoveredKeys implements IssuerKeys {
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
  async find(header: JWSHeaderParameters, token: FlattenedJWSInput): Promise<CryptoKey> {
    if (this.#age() > MAX_AGE_MS) await this.#fetch();
    try {
      return await this.#usable().find(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey) || this.#clock.now() - this.#triedAt < COOLDOWN_MS) throw error;
      await this.#fetch();
      return await this.#usable().find(header, token);
    }
  }

  /** Fetches nothing: a key that was withdrawn is noticed when the others are fetched again. */
  has(id: string): boolean {
    return this.#keys?.has(id) ?? false;
  }

  #age(): number {
    return this.#clock.now() - this.#fetchedAt;
  }

  #usable(): KeySet {
    if (!this.#keys || this.#age() > MAX_STALE_MS) {
      throw new IssuerUnreachableError(`the keys of ${this.#issuer} cannot be fetched`);
    }
    return this.#keys;
  }

  /** Concurrent calls share one fetch; after a failure, none is made for a while. */
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
      this.#keys = new KeySet((await fetchJson(address)) as JSONWebKeySet);
      this.#fetchedAt = now;
    } catch (error) {
      this.#log.warn({ err: error, issuer: this.#issuer }, "cannot fetch the keys of a token issuer");
    }
  }
}
