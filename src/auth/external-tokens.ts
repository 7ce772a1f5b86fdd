/**
 * Tokens that another server issues and signs (distribution's `auth: token`). A key is trusted because it is in the set of keys
 * or in a certificate of the bundle, or because a certificate of the bundle vouches for it; never because a token brings it.
 */
import { X509Certificate, createHash } from "node:crypto";
import { calculateJwkThumbprint, decodeProtectedHeader, errors, jwtVerify } from "jose";
import type { JWK, JWSHeaderParameters, JWTPayload } from "jose";
import type { Clock } from "../lib/clock.ts";
import { WatchedFile } from "../lib/watched-file.ts";
import type { Logger } from "../observe/logger.ts";
import type { AccessToken, ExternalTokens, ResourceActions } from "./access-token.ts";

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

/** A chain of certificates that a token brings is no longer than that. */
const MAX_CHAIN = 8;

/** Trusted keys by the names that a token may call them. */
type TrustedKeys = ReadonlyMap<string, JWK>;

export function openExternalTokens(settings: ExternalTokenSettings, clock: Clock, log: Logger): ExternalTokens {
  const { service, rootcertbundle, jwks } = settings;
  const keysIn = (text: string): Promise<TrustedKeys> => namedKeys(keysOf(text), log);
  const keys = jwks === undefined ? undefined : watched(jwks, clock, log, keysIn, Promise.resolve(NO_KEYS));
  const roots = rootcertbundle === undefined ? undefined : watched(rootcertbundle, clock, log, certificatesIn, []);
  const named = new WeakMap<readonly X509Certificate[], Promise<TrustedKeys>>();

  async function keyFor(header: JWSHeaderParameters): Promise<JWK | undefined> {
    const certificates = roots?.content ?? [];
    if (header.x5c !== undefined) return vouchedFor(header.x5c, certificates, clock.now());
    const name = header.jwk === undefined ? header.kid : await calculateJwkThumbprint(header.jwk);
    if (name === undefined) return undefined;
    let byName = named.get(certificates);
    if (!byName) named.set(certificates, (byName = keysOfCertificates(certificates, log)));
    return (await keys?.content)?.get(name) ?? (await byName).get(name);
  }

  return {
    realm: settings.autoredirect ? settings.autoredirectpath : settings.realm,
    service,
    async verify(token) {
      try {
        const key = await keyFor(decodeProtectedHeader(token));
        if (!key) return undefined;
        const { payload } = await jwtVerify(token, key, {
          algorithms: [...settings.signingalgorithms],
          issuer: settings.issuer,
          audience: service,
          requiredClaims: ["exp"],
          clockTolerance: CLOCK_TOLERANCE,
          currentDate: new Date(clock.now()),
        });
        return accessOf(payload);
      } catch (error) {
        // A key of another kind than the algorithm's is a TypeError of jose's, as is what is no token at all.
        if (error instanceof errors.JOSEError || error instanceof TypeError) return undefined;
        throw error;
      }
    },
  };
}

const NO_KEYS: TrustedKeys = new Map();

function watched<Content>(
  path: string,
  clock: Clock,
  log: Logger,
  parse: (text: string) => Content,
  none: Content,
): WatchedFile<Content> {
  return new WatchedFile(path, clock, {
    parse,
    onTrouble(error) {
      log.error({ err: error }, `${path} cannot be read: no token is trusted by it`);
      return none;
    },
  });
}

function accessOf({ sub = "", exp = 0, access }: JWTPayload & { readonly access?: unknown }): AccessToken {
  return {
    identity: sub === "" ? undefined : { kind: "user", name: sub, groups: [], generation: "external" },
    access: Array.isArray(access) ? access.filter(isResourceActions) : [],
    expiresAt: (exp + CLOCK_TOLERANCE) * 1000,
  };
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
  log.warn(
    { err: error },
    "auth.token: a key of a kind that is not understood is passed over: no token is trusted by it",
  );
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

function certificatesIn(text: string): readonly X509Certificate[] {
  const found = text.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g);
  if (!found) throw new Error("it has no certificate in PEM");
  return found.map((pem) => new X509Certificate(pem));
}

/** The key of the first certificate, when each is vouched for by the next one and the last by one that we trust. */
function vouchedFor(chain: unknown, roots: readonly X509Certificate[], now: number): JWK | undefined {
  try {
    return keyVouchedFor(chain, roots, now);
  } catch {
    return undefined; // a certificate has a key of a kind that is not understood
  }
}

function keyVouchedFor(chain: unknown, roots: readonly X509Certificate[], now: number): JWK | undefined {
  if (!Array.isArray(chain) || chain.length === 0 || chain.length > MAX_CHAIN) return undefined;
  const certificates = chain.flatMap((text: unknown) => certificateOf(text) ?? []);
  const [leaf] = certificates;
  if (!leaf || certificates.length !== chain.length || !certificates.every((each) => isValidAt(each, now)))
    return undefined;
  for (const [index, certificate] of certificates.entries()) {
    if (roots.some((root) => isValidAt(root, now) && (isSame(certificate, root) || isIssuedBy(certificate, root)))) {
      return publicKeyOf(leaf);
    }
    const next = certificates[index + 1];
    if (!next || !isIssuedBy(certificate, next)) return undefined;
  }
  return undefined;
}

function certificateOf(text: unknown): X509Certificate | undefined {
  try {
    return new X509Certificate(Buffer.from(String(text), "base64"));
  } catch {
    return undefined;
  }
}

function isValidAt({ validFrom, validTo }: X509Certificate, now: number): boolean {
  return Date.parse(validFrom) <= now && now <= Date.parse(validTo);
}

function isSame(a: X509Certificate, b: X509Certificate): boolean {
  return a.raw.equals(b.raw);
}

/** Only an authority may vouch for another. */
function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}
