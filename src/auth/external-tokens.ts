/**
 * Tokens that another server issues and signs (distribution's `auth: token`). A key is trusted because it is in the set of keys
 * or in a certificate of the bundle, or because a certificate of the bundle signed it; never because a token contains it.
 */
import { X509Certificate, createHash } from "node:crypto";
import { calculateJwkThumbprint, errors, importJWK } from "jose";
import type { CryptoKey, JWK, JWSHeaderParameters } from "jose";
import type { Clock } from "../lib/clock.ts";
import { MAX_MATCHED_LENGTH } from "../lib/glob.ts";
import { WatchedFile } from "../lib/watched-file.ts";
import type { Logger } from "../observe/logger.ts";
import { keyVouchedFor } from "./certificate-chain.ts";
import type { VouchedKey } from "./certificate-chain.ts";
import type { ResourceActions } from "./scope.ts";
import { asUsableKey, verifySignedToken } from "./signed-token.ts";
import { rejection } from "./verifier.ts";
import type { Basis, Credentials, Reason, Verdict, Verifier } from "./verifier.ts";

/** Where clients get the tokens that an external server issues, and what verifies them. */
export interface ExternalTokens extends Verifier {
  /** An address, or a path such as `/auth/token` at this registry's own origin (`autoredirect`). */
  readonly realm: string;
  readonly service: string;
}

/** distribution's settings below `auth.token`. */
export interface ExternalTokenSettings {
  readonly realm: string;
  readonly service: string;
  readonly issuer: string;
  /** Files. */
  readonly rootcertbundle?: string | undefined;
  readonly jwks?: string | undefined;
  readonly signingalgorithms: readonly SigningAlgorithm[];
  /** Whether clients get their tokens at this registry's own origin, below that path, whatever `realm` says. */
  readonly autoredirect: boolean;
  readonly autoredirectpath: string;
}

/** Those that need no secret on our side. */
export const SIGNING_ALGORITHMS = [
  "EdDSA",
  "RS256",
  "RS384",
  "RS512",
  "ES256",
  "ES384",
  "ES512",
  "PS256",
  "PS384",
  "PS512",
] as const;

export type SigningAlgorithm = (typeof SIGNING_ALGORITHMS)[number];

/** distribution's leeway, in seconds. */
const CLOCK_TOLERANCE = 60;

/** Trusted keys by the names that a token may call them. */
type TrustedKeys = ReadonlyMap<string, JWK>;

const NO_KEYS: Promise<TrustedKeys> = Promise.resolve(new Map());

/** Certificates of the bundle, and their keys. */
interface Roots {
  readonly certificates: readonly X509Certificate[];
  readonly keys: Promise<TrustedKeys>;
}

const NO_ROOTS: Roots = { certificates: [], keys: NO_KEYS };

export class ExternalTokenVerifier implements ExternalTokens {
  readonly realm: string;
  readonly service: string;
  readonly #settings: ExternalTokenSettings;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #keys: WatchedFile<Promise<TrustedKeys>> | undefined;
  readonly #roots: WatchedFile<Roots> | undefined;

  constructor(settings: ExternalTokenSettings, clock: Clock, log: Logger) {
    const { rootcertbundle, jwks } = settings;
    this.realm = settings.autoredirect ? settings.autoredirectpath : settings.realm;
    this.service = settings.service;
    this.#settings = settings;
    this.#clock = clock;
    this.#log = log;
    if (jwks !== undefined) this.#keys = watched(jwks, clock, log, (text) => namedKeys(keysOf(text), log), NO_KEYS);
    if (rootcertbundle !== undefined) {
      this.#roots = watched(rootcertbundle, clock, log, (text) => rootsIn(text, log), NO_ROOTS);
    }
  }

  takes({ kind }: Credentials): boolean {
    return kind === "bearer";
  }

  async verify(credentials: Credentials): Promise<Verdict> {
    const { service, issuer, signingalgorithms } = this.#settings;
    const generation = this.#generation; // of the keys that are looked into now
    let until = Infinity;
    const findKey = async (header: JWSHeaderParameters): Promise<CryptoKey> => {
      const trusted = await this.#keyFor(header);
      if (!trusted) throw new errors.JWKSNoMatchingKey();
      until = trusted.until;
      return await keyOf(trusted.key, header.alg);
    };
    const token = credentials.kind === "bearer" ? credentials.token : "";
    const read = await verifySignedToken<{ readonly access?: unknown }>(token, findKey, {
      algorithms: signingalgorithms,
      issuer,
      audience: service,
      requiredClaims: ["exp"],
      clockTolerance: CLOCK_TOLERANCE,
      now: this.#clock.now(),
    });
    if (read.kind === "refused") return this.#refuse(read.reason, read.detail);
    const { exp = 0, sub = "", access } = read.claims;
    if (typeof sub !== "string" || sub.length > MAX_MATCHED_LENGTH)
      return this.#refuse("claims", '"sub" is no short text');
    return {
      kind: "proof",
      principal: sub === "" ? undefined : { kind: "user", name: sub, groups: [], generation: "external" },
      access: Array.isArray(access) ? access.filter(isResourceActions) : [],
      expiresAt: Math.min((exp + CLOCK_TOLERANCE) * 1000, until),
      basis: this.#basis,
      generation,
    };
  }

  /** That of the files of keys and certificates: a key that was withdrawn from them is not trusted any more. */
  readonly #basis: Basis = { isAt: (generation) => this.#generation === generation };

  get #generation(): string {
    return `${this.#keys?.version ?? 0} ${this.#roots?.version ?? 0}`;
  }

  #refuse(reason: Reason, detail: string): Verdict {
    const { issuer } = this.#settings;
    this.#log.info({ issuer, reason, detail }, "rejected a token of the token server");
    return rejection(reason);
  }

  async #keyFor(header: JWSHeaderParameters): Promise<VouchedKey | undefined> {
    const { certificates, keys } = this.#roots?.content ?? NO_ROOTS;
    if (header.x5c !== undefined) {
      return keyVouchedFor(header.x5c, certificates, this.#clock.now());
    }
    const name = header.jwk === undefined ? header.kid : await asUsableKey(calculateJwkThumbprint(header.jwk));
    if (name === undefined) return undefined;
    const key = (await this.#keys?.content)?.get(name) ?? (await keys).get(name);
    return key && { key, until: Infinity };
  }
}

/** Of one token, whose algorithm `jose` has compared with those that are taken. */
async function keyOf(jwk: JWK, algorithm: string | undefined): Promise<CryptoKey> {
  const key = await asUsableKey(importJWK(jwk, algorithm));
  if (key instanceof Uint8Array) throw new errors.JWKInvalid("it is a secret");
  return key;
}

function watched<Content>(
  path: string,
  clock: Clock,
  log: Logger,
  parse: (text: string) => Content,
  none: Content,
): WatchedFile<Content> {
  return new WatchedFile(path, clock, {
    parse,
    onError(error) {
      log.error({ err: error }, `${path} cannot be read: tokens signed by its keys are rejected`);
      return none;
    },
  });
}

function isResourceActions(value: unknown): value is ResourceActions {
  const { type, name, actions } = (value ?? {}) as Readonly<Record<string, unknown>>;
  return (
    typeof type === "string" &&
    typeof name === "string" &&
    Array.isArray(actions) &&
    actions.every((action) => typeof action === "string")
  );
}

/** Of a set of keys (RFC 7517, 5). Refused when it is none; no algorithm that we take has a use for a secret among them. */
function keysOf(text: string): readonly JWK[] {
  const { keys } = JSON.parse(text) as { readonly keys?: unknown };
  if (!Array.isArray(keys)) throw new Error("it has no list of keys");
  return keys as readonly JWK[];
}

/**
 * By the names that their set gives them, and by their thumbprints (RFC 7638). "Implementations SHOULD ignore JWKs within a
 * JWK Set that use "kty" … values that are not understood by them" (RFC 7517, 5). It never rejects.
 */
async function namedKeys(keys: readonly JWK[], log: Logger): Promise<TrustedKeys> {
  const trusted = new Map<string, JWK>();
  for (const key of keys) {
    try {
      trusted.set(await calculateJwkThumbprint(key), key);
      if (key.kid !== undefined) trusted.set(key.kid, key);
    } catch (error) {
      passOver(log, error);
    }
  }
  return trusted;
}

/** … and by the names that distribution gave keys before version 3. */
async function keysOfCertificates(certificates: readonly X509Certificate[], log: Logger): Promise<TrustedKeys> {
  const keys = certificates.flatMap((certificate) => {
    try {
      return [{ ...publicKeyOf(certificate), kid: libtrustIdOf(certificate) }];
    } catch (error) {
      passOver(log, error);
      return [];
    }
  });
  return await namedKeys(keys, log);
}

function passOver(log: Logger, error: unknown): void {
  log.warn({ err: error }, "auth.token: a key of an unsupported kind is ignored: tokens signed by it are rejected");
}

function publicKeyOf(certificate: X509Certificate): JWK {
  return certificate.publicKey.export({ format: "jwk" });
}

/** Twelve groups of four letters of base32, made of the first 240 bits of the key's SHA-256. */
function libtrustIdOf({ publicKey }: X509Certificate): string {
  const hash = createHash("sha256")
    .update(publicKey.export({ format: "der", type: "spki" }))
    .digest()
    .subarray(0, 30);
  const bits = Array.from(hash, (byte) => byte.toString(2).padStart(8, "0")).join("");
  const letters = Array.from(bits.matchAll(/.{5}/g), ([five]) => BASE32[Number.parseInt(five, 2)]);
  return (letters.join("").match(/.{4}/g) ?? []).join(":");
}

const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

function rootsIn(text: string, log: Logger): Roots {
  const certificates = certificatesIn(text);
  return { certificates, keys: keysOfCertificates(certificates, log) };
}

function certificatesIn(text: string): readonly X509Certificate[] {
  const found = text.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g);
  if (!found) throw new Error("it has no certificate in PEM");
  return found.map((pem) => new X509Certificate(pem));
}
