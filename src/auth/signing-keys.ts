/** The keys that sign the registry's own tokens: created on first use, shared by all processes through the database. */
import { calculateJwkThumbprint, exportJWK, generateKeyPair, importJWK } from "jose";
import type { CryptoKey, JWK } from "jose";
import type { Clock } from "../lib/clock.ts";
import { SingleFlight } from "../lib/single-flight.ts";
import type { Metadata } from "../metadata/metadata.ts";
import type { StoredSigningKey } from "../metadata/signing-keys.ts";

export const ALGORITHM = "ES256";

const DAY_MS = 86_400_000;

/** After so long another key signs. */
const ROTATE_MS = 30 * DAY_MS;

/** The longest that anything lives that was signed. */
export const LONGEST_TOKEN_MS = 365 * DAY_MS;

export interface SigningKey {
  readonly id: string;
  readonly key: CryptoKey;
}

export class SigningKeys {
  readonly #metadata: Pick<Metadata, "signingKeys">;
  readonly #clock: Clock;
  /** Newest first. */
  #stored: readonly StoredSigningKey[] = [];
  readonly #loaded = new Map<string, Promise<SigningKey["key"]>>();
  readonly #renewals = new SingleFlight<"keys", void>();

  constructor(metadata: Pick<Metadata, "signingKeys">, clock: Clock) {
    this.#metadata = metadata;
    this.#clock = clock;
  }

  /** The key that signs now. */
  async current(): Promise<SigningKey> {
    if (!this.#isFresh()) await this.#renewals.run("keys", () => this.#renew());
    const [newest] = this.#stored;
    if (!newest) throw new Error("there is no key to sign with");
    return { id: newest.id, key: await this.#load(newest, "private") };
  }

  /** The public key of this id; undefined when we have none, or what it signed has expired. */
  async find(id: string): Promise<SigningKey["key"] | undefined> {
    const isIt = (key: StoredSigningKey): boolean => key.id === id;
    if (!this.#stored.some(isIt)) this.#stored = await this.#metadata.signingKeys.list(); // another process made it
    const found = this.#stored.find(isIt);
    return found && found.createdAt > this.#forgetUntil() ? await this.#load(found, "public") : undefined;
  }

  /** The public keys as a JWKS (RFC 7517). */
  async published(): Promise<{ readonly keys: readonly JWK[] }> {
    await this.current();
    return {
      keys: this.#stored
        .filter(({ createdAt }) => createdAt > this.#forgetUntil())
        .map((stored) => ({ ...publicPart(stored), kid: stored.id, alg: ALGORITHM, use: "sig" })),
    };
  }

  #isFresh(): boolean {
    return (this.#stored[0]?.createdAt ?? -Infinity) > this.#clock.now() - ROTATE_MS;
  }

  /** Keys created before this time can be deleted, because their tokens have expired. */
  #forgetUntil(): number {
    return this.#clock.now() - ROTATE_MS - LONGEST_TOKEN_MS;
  }

  async #renew(): Promise<void> {
    this.#stored = await this.#metadata.signingKeys.list();
    if (this.#isFresh()) return;
    const { privateKey } = await generateKeyPair(ALGORITHM, { extractable: true });
    const jwk = await exportJWK(privateKey);
    const now = this.#clock.now();
    const made = { id: await calculateJwkThumbprint(jwk), jwk: JSON.stringify(jwk), createdAt: now };
    // Of processes that do this concurrently, all use the key of the first.
    await this.#metadata.signingKeys.add(made, { unlessAfter: now - ROTATE_MS, forgetUntil: this.#forgetUntil() });
    this.#stored = await this.#metadata.signingKeys.list();
  }

  #load(stored: StoredSigningKey, part: "private" | "public"): Promise<SigningKey["key"]> {
    const name = `${part} ${stored.id}`;
    let loaded = this.#loaded.get(name);
    if (!loaded) {
      const jwk = part === "private" ? (JSON.parse(stored.jwk) as JWK) : publicPart(stored);
      loaded = importJWK(jwk, ALGORITHM) as Promise<CryptoKey>; // bytes come from secrets alone
      this.#loaded.set(name, loaded);
    }
    return loaded;
  }
}

function publicPart({ jwk }: StoredSigningKey): JWK {
  const { kty, crv, x, y } = JSON.parse(jwk) as Readonly<Record<"kty" | "crv" | "x" | "y", string>>;
  return { kty, crv, x, y };
}
