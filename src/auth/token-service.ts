/** Issues and verifies the registry's own tokens (Docker's token protocol). */
import { randomUUID } from "node:crypto";
import { SignJWT, errors } from "jose";
import type { Clock } from "../lib/clock.ts";
import { parseRepositoryName } from "../oci/repository-name.ts";
import type { ResourceActions } from "./scope.ts";
import type { Action, Grant, Identity, Principal } from "./identity.ts";
import type { Policy } from "./policy.ts";
import { nameOf } from "./policy.ts";
import { verifySignedToken } from "./signed-token.ts";
import type { RefusedToken, VerifiedToken } from "./signed-token.ts";
import { ALGORITHM, LONGEST_TOKEN_MS } from "./signing-keys.ts";
import type { SigningKey, SigningKeys } from "./signing-keys.ts";
import { ALWAYS, NO_BASIS, rejection } from "./verifier.ts";
import type { AccountVerifier, Credentials, Verdict, Verifier } from "./verifier.ts";

/** What our tokens are for, and by whom they are issued. */
export const SERVICE = "stowage";

/** What a refresh token is for: nothing but to be exchanged. */
const REFRESH_AUDIENCE = `${SERVICE} refresh`;

/** Lifetime of a token. It is checked at the start of a request, so long uploads need no longer one. */
const LIFETIME_MS = 300_000;

/** The clocks of several processes may differ so much, in seconds. */
const CLOCK_TOLERANCE = 5;

/** Actions of a repository scope; `*` stands for all. */
const ACTIONS: readonly Action[] = ["pull", "push", "delete"];

export interface IssuedToken {
  readonly token: string;
  readonly access: readonly ResourceActions[];
  readonly issuedAt: Date;
  readonly lifetimeMs: number;
}

/** Our claims beside the registered ones. */
interface Claims {
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
  /** Says what tokens rest on that are issued to an account. */
  readonly accounts: Pick<AccountVerifier, "basisOf">;
  readonly clock: Clock;
}

export class TokenService implements Verifier {
  readonly #parts: TokenServiceParts;

  constructor(parts: TokenServiceParts) {
    this.#parts = parts;
  }

  /** A token for as much of what is asked for as may be had, which may be nothing. */
  async issue(principal: Principal, asked: readonly ResourceActions[]): Promise<IssuedToken> {
    const { clock } = this.#parts;
    const access = this.#grant(principal, asked);
    const now = clock.now();
    const token = await this.#sign(principal, SERVICE, now, LIFETIME_MS, { access });
    return { token, access, issuedAt: new Date(now), lifetimeMs: LIFETIME_MS };
  }

  /** What its owner may exchange for tokens later, without the password. */
  issueRefreshToken(principal: Identity): Promise<string> {
    return this.#sign(principal, REFRESH_AUDIENCE, this.#parts.clock.now(), LONGEST_TOKEN_MS, {});
  }

  takes({ kind }: Credentials): boolean {
    return kind === "bearer";
  }

  async verify(credentials: Credentials): Promise<Verdict> {
    return await this.#read(credentials.kind === "bearer" ? credentials.token : "", SERVICE);
  }

  /** Verifies a refresh token. Its owner may have changed since: see its basis. */
  async redeem(refreshToken: string): Promise<Verdict> {
    return await this.#read(refreshToken, REFRESH_AUDIENCE);
  }

  /** The public keys that tokens are verified with. */
  published(): ReturnType<SigningKeys["published"]> {
    return this.#parts.keys.published();
  }

  #grant(principal: Principal, asked: readonly ResourceActions[]): readonly ResourceActions[] {
    const granted = new Map<string, Set<string>>();
    for (const { type, name, actions } of asked) {
      const allowed = this.#allowedActions(principal, { type, name, actions });
      const key = `${type}:${name}`;
      if (allowed.length > 0) granted.set(key, new Set([...(granted.get(key) ?? []), ...allowed]));
    }
    return [...granted].map(([key, actions]) => {
      const colon = key.indexOf(":");
      return { type: key.slice(0, colon), name: key.slice(colon + 1), actions: [...actions] };
    });
  }

  #allowedActions(principal: Principal, { type, name, actions }: ResourceActions): readonly string[] {
    const { policy } = this.#parts;
    if (type === "registry" && name === "catalog") {
      return actions.includes("*") && policy.allowsSomePull(principal) ? ["*"] : [];
    }
    if (type !== "repository" || parseRepositoryName(name) === undefined) return [];
    const wanted = actions.includes("*") ? ACTIONS : ACTIONS.filter((action) => actions.includes(action));
    return wanted.filter((action) => policy.allows(principal, action, name));
  }

  async #sign(
    principal: Principal,
    audience: string,
    now: number,
    lifetimeMs: number,
    claims: Pick<Claims, "access">,
  ): Promise<string> {
    const { id, key } = await this.#parts.keys.current();
    const seconds = Math.floor(now / 1000);
    return await new SignJWT({ ...claims, ...identityClaim(principal) })
      .setProtectedHeader({ alg: ALGORITHM, kid: id, typ: "JWT" })
      .setIssuer(SERVICE)
      .setSubject(principal ? nameOf(principal) : "")
      .setAudience(audience)
      .setIssuedAt(seconds)
      .setNotBefore(seconds)
      .setExpirationTime(seconds + Math.ceil(lifetimeMs / 1000))
      .setJti(randomUUID())
      .sign(key);
  }

  async #read(token: string, audience: string): Promise<Verdict> {
    const read = await this.#verify(token, audience);
    if (read.kind === "refused") return rejection(read.reason);
    const { identity, access = [], exp = 0 } = read.claims;
    const principal = identity && { ...identity, groups: identity.groups ?? [] };
    return {
      kind: "proof",
      principal,
      access,
      expiresAt: (exp + CLOCK_TOLERANCE) * 1000,
      basis: principal ? (this.#parts.accounts.basisOf(principal) ?? NO_BASIS) : ALWAYS,
      generation: principal?.generation ?? "",
    };
  }

  async #verify(token: string, audience: string): Promise<VerifiedToken<Claims> | RefusedToken> {
    const { keys, clock } = this.#parts;
    const findKey = async ({ kid = "" }): Promise<SigningKey["key"]> => {
      const key = await keys.find(kid);
      if (!key) throw new errors.JWKSNoMatchingKey();
      return key;
    };
    return await verifySignedToken<Claims>(token, findKey, {
      algorithms: [ALGORITHM],
      type: "JWT",
      issuer: SERVICE,
      audience,
      requiredClaims: ["exp", "nbf", "iat"],
      clockTolerance: CLOCK_TOLERANCE,
      now: clock.now(),
    });
  }
}

function identityClaim(principal: Principal): Pick<Claims, "identity"> {
  if (!principal) return {};
  const { kind, name, groups, bound, generation } = principal;
  return {
    identity: { kind, name, generation, ...(groups.length > 0 ? { groups } : {}), ...(bound ? { bound } : {}) },
  };
}
