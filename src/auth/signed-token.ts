/** Verifies signed tokens (JWT, RFC 7519), and returns why one is rejected. */
import { errors, jwtVerify } from "jose";
import type { CryptoKey, FlattenedJWSInput, JWSHeaderParameters, JWTPayload } from "jose";
import type { Reason } from "./verifier.ts";

/**
 * Finds the key that a token says it was signed with. Rejects with an error of `jose` when there is none that can be used,
 * and with anything else for internal errors.
 */
export type FindKey = (header: JWSHeaderParameters, token: FlattenedJWSInput) => Promise<CryptoKey>;

export interface TokenRules {
  readonly algorithms: readonly string[];
  /** Of the header; any when absent. */
  readonly type?: string;
  readonly issuer: string;
  readonly audience: string;
  readonly requiredClaims: readonly string[];
  /** Seconds by which the issuer's clock and ours may differ. */
  readonly clockTolerance: number;
  /** Milliseconds since 1970. */
  readonly now: number;
  /** The time at which the token must be valid; `now` when absent. */
  readonly goodAt?: number;
}

export interface VerifiedToken<Claims> {
  readonly kind: "verified";
  readonly claims: Claims & JWTPayload;
  readonly key: CryptoKey;
}

/** Why a token is rejected; `detail` is a sentence for the log, without secrets. */
export interface RefusedToken {
  readonly kind: "refused";
  readonly reason: Reason;
  readonly detail: string;
}

export async function verifySignedToken<Claims>(
  token: string,
  findKey: FindKey,
  rules: TokenRules,
): Promise<VerifiedToken<Claims> | RefusedToken> {
  const { algorithms, type, issuer, audience, requiredClaims, clockTolerance, now, goodAt = now } = rules;
  let keyError: unknown;
  const keyFor: FindKey = async (header, jws) => {
    try {
      return await findKey(header, jws);
    } catch (error) {
      keyError = error;
      throw error;
    }
  };
  try {
    const { payload, key } = await jwtVerify<Claims, CryptoKey>(token, keyFor, {
      algorithms: [...algorithms],
      ...(type === undefined ? {} : { typ: type }),
      issuer,
      audience,
      requiredClaims: [...requiredClaims],
      clockTolerance,
      currentDate: new Date(goodAt),
    });
    // Otherwise an issuer with a wrong clock would issue tokens that are valid for too long.
    if ((payload.iat ?? 0) * 1000 > now + clockTolerance * 1000) {
      return refused("time", '"iat" is in the future');
    }
    return { kind: "verified", claims: payload, key };
  } catch (error) {
    if (error instanceof errors.JOSEError) return refused(reasonOf(error), error.message);
    if (error === keyError) throw error;
    // The signature could not be verified by a key of this kind.
    if (error instanceof TypeError || error instanceof DOMException) return refused("key", error.message);
    throw error;
  }
}

/** Passes on errors of `jose`, and what a library for cryptography says of a key that cannot be used as one of them. */
export async function asUsableKey<Key>(key: Promise<Key>): Promise<Key> {
  try {
    return await key;
  } catch (error) {
    if (error instanceof errors.JOSEError) throw error;
    throw new errors.JWKInvalid("the key cannot be used", { cause: error });
  }
}

function refused(reason: Reason, detail: string): RefusedToken {
  return { kind: "refused", reason, detail };
}

function reasonOf(error: errors.JOSEError): Reason {
  if (error instanceof errors.JWTExpired) return "expired";
  if (error instanceof errors.JWTClaimValidationFailed) return CLAIM_REASONS[error.claim] ?? "claims";
  if (error instanceof errors.JWSSignatureVerificationFailed) return "signature";
  return MALFORMED.has(error.code) ? "malformed" : "key";
}

const CLAIM_REASONS: Readonly<Record<string, Reason>> = {
  iss: "issuer",
  aud: "audience",
  exp: "time",
  nbf: "time",
  iat: "time",
};

const MALFORMED: ReadonlySet<string> = new Set([errors.JWSInvalid.code, errors.JWTInvalid.code]);
