/**
 * Jobs of CI systems, which prove who they are by a token that their system signed (OpenID Connect): nobody has to keep a
 * password for them. Rules say which claims must be in it, and what such a job may do here.
 */
import { createHash } from "node:crypto";
import { decodeJwt, errors, jwtVerify } from "jose";
import type { JWTPayload } from "jose";
import type { Clock } from "../lib/clock.ts";
import { glob } from "../lib/glob.ts";
import type { Logger } from "../observe/logger.ts";
import { OciError } from "../oci/error.ts";
import type { Action, Grant, Identity } from "./identity.ts";
import { DiscoveredKeys, IssuerUnreachableError, keysInFile } from "./issuer-keys.ts";
import type { FindKey } from "./issuer-keys.ts";

/** What a claim must be: itself, a pattern for a text (`refs/heads/*`), one of several, or an object with such claims. */
export type ClaimPattern =
  | string
  | number
  | boolean
  | readonly ClaimPattern[]
  | { readonly [claim: string]: ClaimPattern };

export interface JobRule {
  /** All of them must be in the token; at least one. */
  readonly claims: Readonly<Record<string, ClaimPattern>>;
  readonly repositories: readonly string[];
  readonly actions: readonly Action[];
}

/** Trust in an issuer of tokens. */
export interface JobTrust {
  /** As it stands in the tokens: its keys are found below it. */
  readonly issuer: string;
  /** Whom the tokens must be meant for. */
  readonly audience: string;
  /** A file with the issuer's keys, for an issuer that cannot be reached from here. */
  readonly jwks?: string | undefined;
  /** Milliseconds after its issue for which a token is good here, also when it says less: some say less than a push takes. */
  readonly lifetime?: number | undefined;
  readonly rules: readonly JobRule[];
}

/** What anybody could make up is not among them. */
const ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"];

/** Bytes; those of CI systems have one or two thousand. */
const MAX_TOKEN_LENGTH = 16 * 1024;

/** Clocks of two machines may differ so much, in seconds. */
const CLOCK_TOLERANCE = 10;

export class Jobs {
  readonly #trusts: readonly { readonly trust: JobTrust; readonly findKey: FindKey }[];
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #generation: string;

  constructor(trusts: readonly JobTrust[], clock: Clock, log: Logger) {
    this.#trusts = trusts.map((trust) => ({ trust, findKey: findKeyOf(trust, clock, log) }));
    this.#clock = clock;
    this.#log = log;
    this.#generation = createHash("sha256").update(JSON.stringify(trusts)).digest("base64url").slice(0, 16);
  }

  /** Other rules, other trust: what was issued before they changed is worth nothing. */
  isCurrent(generation: string): boolean {
    return generation === this.#generation;
  }

  /** Whose token it is; undefined when it is not good, or no rule is about it. Refused with 503 when its issuer is silent. */
  async identify(token: string): Promise<{ readonly identity: Identity; readonly until: number } | undefined> {
    const issuer = token.length > MAX_TOKEN_LENGTH ? undefined : issuerOf(token);
    for (const { trust, findKey } of this.#trusts) {
      if (trust.issuer !== issuer) continue;
      const claims = await this.#verify(token, trust, findKey);
      const bound = claims && grantsOf(trust, claims);
      if (!bound) continue;
      if (bound.length > 0) return { identity: this.#identityOf(claims, bound), until: endOf(trust, claims) };
      this.#log.warn(
        { issuer, subject: claims.sub },
        "a job's token is good, but no rule of auth.oidc is about its claims",
      );
    }
    return undefined;
  }

  /** The time at which a token is looked at: its last moment when it has expired, and is good for longer here. */
  #timeFor(trust: JobTrust, claims: JWTPayload): number {
    const now = this.#clock.now();
    const expiresAt = (claims.exp ?? Infinity) * 1000;
    return expiresAt <= now && now < endOf(trust, claims) ? expiresAt - 1000 : now;
  }

  #identityOf({ sub = "", iss = "" }: JWTPayload, bound: readonly Grant[]): Identity {
    const name = `${sub}@${new URL(iss).host}`;
    return { kind: "job", name, groups: [], bound, generation: this.#generation };
  }

  async #verify(token: string, trust: JobTrust, findKey: FindKey): Promise<JWTPayload | undefined> {
    const { issuer, audience } = trust;
    try {
      const { payload } = await jwtVerify(token, findKey, {
        algorithms: ALGORITHMS,
        issuer,
        audience,
        requiredClaims: ["exp", "sub"],
        clockTolerance: CLOCK_TOLERANCE,
        currentDate: new Date(this.#timeFor(trust, decodeJwt(token))),
      });
      return payload;
    } catch (error) {
      if (error instanceof IssuerUnreachableError) {
        throw new OciError("UNAVAILABLE", {
          message: `the token cannot be checked, because ${issuer} does not answer: try again`,
          retryAfterSeconds: 30,
          cause: error,
        });
      }
      if (!(error instanceof errors.JOSEError)) throw error;
      this.#log.info({ issuer, reason: error.message }, "a job's token was refused");
      return undefined;
    }
  }
}

function findKeyOf({ issuer, jwks }: JobTrust, clock: Clock, log: Logger): FindKey {
  if (jwks !== undefined) return keysInFile(jwks, clock, log);
  const keys = new DiscoveredKeys(issuer, clock, log);
  return (header, token) => keys.find(header, token);
}

/** Milliseconds since 1970 until which such a token is good here. */
function endOf({ lifetime = 0 }: JobTrust, { iat = 0, exp = 0 }: JWTPayload): number {
  return Math.max(exp * 1000, iat * 1000 + lifetime);
}

/** Who the token says it is from, unchecked; undefined when it is no token. */
function issuerOf(token: string): string | undefined {
  try {
    return decodeJwt(token).iss;
  } catch {
    return undefined;
  }
}

/** What all the rules that are about such claims allow together. */
function grantsOf({ rules }: JobTrust, claims: JWTPayload): readonly Grant[] {
  return rules
    .filter((rule) => matches(rule.claims, claims))
    .flatMap(({ repositories, actions }) => repositories.map((pattern) => ({ repositories: pattern, actions })));
}

function matches(wanted: ClaimPattern, actual: unknown): boolean {
  // A claim with several values has the one that is wanted among them.
  if (Array.isArray(actual)) return actual.some((value) => matches(wanted, value));
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
