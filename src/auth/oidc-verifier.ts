/**
 * CI workload identities: jobs log in with a token that their system signed (OpenID Connect), so that no one has to store a
 * password for them. Rules say which claims must be in it, and what such a job may do here.
 */
import { createHash } from "node:crypto";
import { decodeJwt } from "jose";
import type { JWTPayload } from "jose";
import type { Clock } from "../lib/clock.ts";
import { MAX_MATCHED_LENGTH, glob } from "../lib/glob.ts";
import type { Logger } from "../observe/logger.ts";
import { OciError } from "../oci/error.ts";
import { JOB_USER } from "./account-name.ts";
import type { Action, Grant, Identity } from "./identity.ts";
import { DiscoveredKeys, IssuerUnreachableError, KeysInFile, keyIdOf } from "./issuer-keys.ts";
import type { IssuerKeys } from "./issuer-keys.ts";
import { verifySignedToken } from "./signed-token.ts";
import type { RefusedToken } from "./signed-token.ts";
import { rejection } from "./verifier.ts";
import type { AccountVerifier, BasicCredentials, Basis, Credentials, Verdict } from "./verifier.ts";

/** What a claim must be: itself, a pattern for a text (`refs/heads/*`), one of several, or an object with such claims. */
export type ClaimPattern =
  | string
  | number
  | boolean
  | readonly ClaimPattern[]
  | { readonly [claim: string]: ClaimPattern };

export interface OidcRule {
  /** All of them must be in the token; at least one. */
  readonly claims: Readonly<Record<string, ClaimPattern>>;
  readonly repositories: readonly string[];
  readonly actions: readonly Action[];
}

/** Trust in an issuer of tokens. */
export interface OidcTrust {
  /** As it stands in the tokens: its keys are found below it. */
  readonly issuer: string;
  /** Whom the tokens must be meant for. */
  readonly audience: string;
  /** A file with the issuer's keys, for an issuer that cannot be reached from here. */
  readonly jwks?: string | undefined;
  /** Milliseconds after `iat` for which a token is accepted, even when its `exp` is earlier: some expire before a push ends. */
  readonly lifetime?: number | undefined;
  readonly rules: readonly OidcRule[];
}

/** Reasons that attackers cannot cause at will. */
const ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"];

/** Bytes; those of CI systems have one or two thousand. */
const MAX_TOKEN_LENGTH = 16 * 1024;

/** Clocks of two machines may differ so much, in seconds. */
const CLOCK_TOLERANCE = 10;

/** Trust as it is ready to be used. */
interface TrustedIssuer {
  readonly trust: OidcTrust;
  readonly keys: IssuerKeys;
}

export class OidcVerifier implements AccountVerifier {
  readonly #issuers: readonly TrustedIssuer[];
  readonly #clock: Clock;
  readonly #log: Logger;
  /** Other rules or trust have another one. */
  readonly #generation: string;

  constructor(trusts: readonly OidcTrust[], clock: Clock, log: Logger) {
    this.#issuers = trusts.map((trust) => ({ trust, keys: keysOf(trust, clock, log) }));
    this.#clock = clock;
    this.#log = log;
    this.#generation = createHash("sha256").update(JSON.stringify(trusts)).digest("base64url").slice(0, 16);
  }

  takes(credentials: Credentials): boolean {
    return credentials.kind === "basic" && credentials.name === JOB_USER;
  }

  /** The first issuer decides whose token it is and one of whose rules is about it. */
  async verify({ password: token }: BasicCredentials): Promise<Verdict> {
    const issuer = token.length > MAX_TOKEN_LENGTH ? undefined : issuerOf(token);
    if (issuer === undefined) return rejection("malformed");
    let verdict: Verdict | undefined;
    for (const trusted of this.#issuers) {
      if (trusted.trust.issuer !== issuer) continue;
      verdict = await this.#verifyBy(trusted, token);
      if (verdict.kind === "proof" || verdict.reason === "unavailable") return verdict;
    }
    if (!verdict) this.#logRefusal(issuer, { reason: "issuer", detail: "not in auth.oidc" });
    return verdict ?? rejection("issuer");
  }

  /** A job has no account: its rules are all that there is of it, and its issuer's keys where they lie in a file. */
  basisOf({ kind }: Identity): Basis | undefined {
    return kind === "job" ? this.#basis : undefined;
  }

  readonly #basis: Basis = {
    isAt: (generation) => {
      const { rules, index, keyId } = partsOf(generation);
      if (rules !== this.#generation) return false;
      return keyId === undefined || (this.#issuers[index]?.keys.has(keyId) ?? false);
    },
  };

  async #verifyBy(trusted: TrustedIssuer, token: string): Promise<Verdict> {
    const { trust, keys } = trusted;
    const { issuer, audience } = trust;
    const now = this.#clock.now();
    const findKey = keys.find.bind(keys);
    let read;
    try {
      read = await verifySignedToken(token, findKey, {
        algorithms: ALGORITHMS,
        issuer,
        audience,
        requiredClaims: ["exp", "sub"],
        clockTolerance: CLOCK_TOLERANCE,
        now,
        goodAt: goodAt(trust, decodeJwt(token), now),
      });
    } catch (error) {
      if (!(error instanceof IssuerUnreachableError)) throw error;
      return rejection(
        "unavailable",
        new OciError("UNAVAILABLE", {
          message: `the token cannot be verified, because ${issuer} does not respond: try again`,
          retryAfterSeconds: 30,
          cause: error,
        }),
      );
    }
    if (read.kind === "refused") {
      this.#logRefusal(issuer, read);
      return rejection(read.reason);
    }
    const { claims } = read;
    const refused = (detail: string): Verdict => {
      this.#logRefusal(issuer, { reason: "claims", detail }, claims.sub);
      return rejection("claims");
    };
    const { sub } = claims;
    if (typeof sub !== "string" || sub === "" || sub.length > MAX_MATCHED_LENGTH) {
      return refused(`"sub" is no text of 1 to ${MAX_MATCHED_LENGTH} characters`);
    }
    const bound = grantsOf(trust, claims);
    if (bound.length === 0) return refused("no rule of auth.oidc matches its claims");
    const generation = `${this.#generation} ${this.#issuers.indexOf(trusted)} ${keyIdOf(read.key)}`;
    const principal: Identity = {
      kind: "job",
      name: `${sub}@${labelOf(issuer)}`,
      groups: [],
      bound,
      // Tokens issued to it are used in other processes, too, which may not have fetched this key yet.
      generation: trust.jwks === undefined ? this.#generation : generation,
    };
    return { kind: "proof", principal, expiresAt: endOf(trust, claims), basis: this.#basis, generation };
  }

  #logRefusal(issuer: string, { reason, detail }: Pick<RefusedToken, "reason" | "detail">, subject?: string): void {
    this.#log.info(
      { issuer: issuer.slice(0, MAX_MATCHED_LENGTH), subject: subject?.slice(0, MAX_MATCHED_LENGTH), reason, detail },
      "rejected the token of a CI job",
    );
  }
}

function partsOf(generation: string): { readonly rules: string; readonly index: number; readonly keyId?: string } {
  const [rules = "", index, keyId] = generation.split(" ");
  return { rules, index: Number(index), ...(keyId === undefined ? {} : { keyId }) };
}

/**
 * What stands behind the `@` of a job's name: the issuer, without `https://`, which nearly all begin with. No two issuers have
 * the same, and none has an `@` in it: so no two jobs have the same name, whatever their subjects are.
 */
function labelOf(issuer: string): string {
  const rest = issuer.replace(/^https:\/\//, "");
  const label = /^https?:/.test(rest) ? issuer : rest;
  return label.replaceAll("%", "%25").replaceAll("@", "%40");
}

function keysOf({ issuer, jwks }: OidcTrust, clock: Clock, log: Logger): IssuerKeys {
  return jwks === undefined ? new DiscoveredKeys(issuer, clock, log) : new KeysInFile(jwks, clock, log);
}

/** Returns the expiry of a token here, in milliseconds since 1970. */
function endOf({ lifetime = 0 }: OidcTrust, { iat = 0, exp = 0 }: JWTPayload): number {
  return Math.max(exp * 1000, iat * 1000 + lifetime);
}

/** Returns the time at which a token is verified: its last valid moment when it has expired but is accepted for longer. */
function goodAt(trust: OidcTrust, claims: JWTPayload, now: number): number {
  const expiresAt = (claims.exp ?? Infinity) * 1000;
  return expiresAt <= now && now < endOf(trust, claims) ? expiresAt - 1000 : now;
}

/** Who the token says it is from, unverified; undefined when it is no token. */
function issuerOf(token: string): string | undefined {
  try {
    return decodeJwt(token).iss;
  } catch {
    return undefined;
  }
}

/** What all the rules that are about such claims allow together. */
export function grantsOf({ rules }: Pick<OidcTrust, "rules">, claims: JWTPayload): readonly Grant[] {
  return rules
    .filter((rule) => matches(rule.claims, claims))
    .flatMap(({ repositories, actions }) => repositories.map((pattern) => ({ repositories: pattern, actions })));
}

function matches(wanted: ClaimPattern, actual: unknown): boolean {
  // A claim with several values has the one that is wanted among them; lists of lists are none that any issuer writes.
  if (Array.isArray(actual)) return actual.some((value) => !Array.isArray(value) && matches(wanted, value));
  if (Array.isArray(wanted)) return wanted.some((each) => matches(each, actual));
  if (typeof wanted === "object") {
    return (
      typeof actual === "object" &&
      actual !== null &&
      Object.entries(wanted).every(
        ([claim, inner]) => Object.hasOwn(actual, claim) && matches(inner, (actual as Record<string, unknown>)[claim]),
      )
    );
  }
  if (typeof wanted === "string" && typeof actual === "string") return glob(wanted)(actual);
  // Some systems write numbers and truth values as texts.
  return ["string", "number", "boolean"].includes(typeof actual) && String(wanted) === String(actual);
}
