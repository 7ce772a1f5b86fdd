/** Issues and verifies the registry's own tokens (Docker's token protocol). */
import { randomUUID } from "node:crypto";
import { SignJWT, errors, jwtVerify } from "jose";
import type { JWTPayload } from "jose";
import type { Clock } from "../lib/clock.ts";
import { parseRepositoryName } from "../oci/repository-name.ts";
import type { AccessToken, ResourceActions, TokenVerifier } from "./access-token.ts";
import type { Action, Authenticator, Grant, Identity } from "./identity.ts";
import type { Policy, Who } from "./policy.ts";
import { nameOf } from "./policy.ts";
import { ALGORITHM, LONGEST_TOKEN_MS } from "./signing-keys.ts";
import type { SigningKey, SigningKeys } from "./signing-keys.ts";

/** What our tokens are for, and by whom they are issued. */
export const SERVICE = "stowage";

/** What a refresh token is for: nothing but to be exchanged. */
const REFRESH_AUDIENCE = `${SERVICE} refresh`;

/** How long a token is good: an upload of any length needs it at the beginning of each request only. */
const LIFETIME_MS = 300_000;

/** The clocks of several processes may differ so much, in seconds. */
const CLOCK_TOLERANCE = 5;

/** What can be asked for with a repository; `*` asks for all. */
const ACTIONS: readonly Action[] = ["pull", "push", "delete"];

export interface IssuedToken {
  readonly token: string;
  readonly access: readonly ResourceActions[];
  readonly issuedAt: Date;
  readonly lifetimeMs: number;
}

/** Our claims beside the registered ones. */
interface Claims extends JWTPayload {
  readonly access?: readonly ResourceActions[];
  /** Absent for anonymous. */
  readonly identity?: {
    readonly kind: Identity["kind"];
    readonly name: string;
    readonly groups?: readonly string[];
    readonly bound?: readonly Grant[];
    readonly generation: string;
  };
}

export interface TokenServiceParts {
  readonly keys: SigningKeys;
  readonly policy: Policy;
  readonly authenticator: Pick<Authenticator, "isCurrent">;
  readonly clock: Clock;
}

export class TokenService implements TokenVerifier {
  readonly #parts: TokenServiceParts;

  constructor(parts: TokenServiceParts) {
    this.#parts = parts;
  }

  /** A token for as much of what is asked for as may be had, which may be nothing. */
  async issue(who: Who, asked: readonly ResourceActions[]): Promise<IssuedToken> {
    const { clock } = this.#parts;
    const access = this.#grant(who, asked);
    const now = clock.now();
    const token = await this.#sign(who, SERVICE, now, LIFETIME_MS, { access });
    return { token, access, issuedAt: new Date(now), lifetimeMs: LIFETIME_MS };
  }

  /** What its owner may exchange for tokens later, without the password. */
  issueRefreshToken(who: Identity): Promise<string> {
    return this.#sign(who, REFRESH_AUDIENCE, this.#parts.clock.now(), LONGEST_TOKEN_MS, {});
  }

  verify(token: string): Promise<AccessToken | undefined> {
    return this.#read(token, SERVICE);
  }

  /** Whose refresh token it is; undefined when it is not good, or its owner changed since. */
  async redeem(refreshToken: string): Promise<Identity | undefined> {
    const read = await this.#read(refreshToken, REFRESH_AUDIENCE);
    return read?.identity && (await this.#parts.authenticator.isCurrent(read.identity)) ? read.identity : undefined;
  }

  /** The public keys that tokens are verified with. */
  published(): ReturnType<SigningKeys["published"]> {
    return this.#parts.keys.published();
  }

  #grant(who: Who, asked: readonly ResourceActions[]): readonly ResourceActions[] {
    const granted = new Map<string, Set<string>>();
    for (const { type, name, actions } of asked) {
      const allowed = this.#allowedActions(who, { type, name, actions });
      const key = `${type}:${name}`;
      if (allowed.length > 0) granted.set(key, new Set([...(granted.get(key) ?? []), ...allowed]));
    }
    return [...granted].map(([key, actions]) => {
      const colon = key.indexOf(":");
      return { type: key.slice(0, colon), name: key.slice(colon + 1), actions: [...actions] };
    });
  }

  #allowedActions(who: Who, { type, name, actions }: ResourceActions): readonly string[] {
    const { policy } = this.#parts;
    if (type === "registry" && name === "catalog") {
      return actions.includes("*") && policy.allowsSomePull(who) ? ["*"] : [];
    }
    if (type !== "repository" || parseRepositoryName(name) === undefined) return [];
    const wanted = actions.includes("*") ? ACTIONS : ACTIONS.filter((action) => actions.includes(action));
    return wanted.filter((action) => policy.allows(who, action, name));
  }

  async #sign(
    who: Who,
    audience: string,
    now: number,
    lifetimeMs: number,
    claims: Pick<Claims, "access">,
  ): Promise<string> {
    const { id, key } = await this.#parts.keys.current();
    const seconds = Math.floor(now / 1000);
    return await new SignJWT({ ...claims, ...identityClaim(who) })
      .setProtectedHeader({ alg: ALGORITHM, kid: id, typ: "JWT" })
      .setIssuer(SERVICE)
      .setSubject(who ? nameOf(who) : "")
      .setAudience(audience)
      .setIssuedAt(seconds)
      .setNotBefore(seconds)
      .setExpirationTime(seconds + Math.ceil(lifetimeMs / 1000))
      .setJti(randomUUID())
      .sign(key);
  }

  async #read(token: string, audience: string): Promise<AccessToken | undefined> {
    const { keys, clock } = this.#parts;
    try {
      const keyOf = async ({ kid = "" }): Promise<SigningKey["key"]> => {
        const key = await keys.find(kid);
        if (!key) throw new errors.JWKSNoMatchingKey();
        return key;
      };
      const { payload } = await jwtVerify<Claims>(token, keyOf, {
        algorithms: [ALGORITHM],
        typ: "JWT",
        issuer: SERVICE,
        audience,
        requiredClaims: ["exp", "nbf", "iat"],
        clockTolerance: CLOCK_TOLERANCE,
        currentDate: new Date(clock.now()),
      });
      return {
        identity: identityIn(payload),
        access: payload.access ?? [],
        expiresAt: ((payload.exp ?? 0) + CLOCK_TOLERANCE) * 1000,
      };
    } catch (error) {
      if (error instanceof errors.JOSEError) return undefined; // not good, or no token at all
      throw error;
    }
  }
}

function identityClaim(who: Who): Pick<Claims, "identity"> {
  if (!who) return {};
  const { kind, name, groups, bound, generation } = who;
  return {
    identity: { kind, name, generation, ...(groups.length > 0 ? { groups } : {}), ...(bound ? { bound } : {}) },
  };
}

function identityIn({ identity }: Claims): Who {
  return identity && { ...identity, groups: identity.groups ?? [] };
}
