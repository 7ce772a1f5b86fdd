/** Authorizes every request: authenticates its principal, and checks the required permission. */
import type { ResourceActions } from "../../auth/scope.ts";
import { UNRESTRICTED } from "../../auth/authorization.ts";
import type { Authorization } from "../../auth/authorization.ts";
import type { Session } from "../../auth/credential-cache.ts";
import type { Principal } from "../../auth/identity.ts";
import { nameOf } from "../../auth/policy.ts";
import type { Policy } from "../../auth/policy.ts";
import { OciError } from "../../oci/error.ts";
import { AccessRefusal } from "./access-refusal.ts";
import type { RefusedPermission } from "./access-refusal.ts";
import type { Authentication, Outcome, Rejected } from "../../auth/authentication.ts";
import { challengeHeader } from "./challenge.ts";
import type { Challenge, ChallengeError } from "./challenge.ts";
import type { Caller } from "../http/origin.ts";
import { scopesOf, wordsFor } from "./required-permission.ts";
import type { RequiredPermission } from "./required-permission.ts";

/** Runs before every request, and returns no promise unless it has to read something. */
export interface Authorizer {
  /** Refused with `UNAUTHORIZED` and a challenge, or with `DENIED`. */
  authorize(request: Request, required: RequiredPermission, caller: Caller): Authorization | Promise<Authorization>;
}

/** Of a registry without authentication. */
export const OPEN_ACCESS: Authorizer = { authorize: () => UNRESTRICTED };

export interface AuthorizerParts {
  readonly authentication: Authentication;
  /** What a wider token would allow; absent where the server that issues tokens decides alone. */
  readonly policy?: Policy | undefined;
  readonly challenge: Challenge;
  /** What `GET /v2/` says also when it refuses. */
  readonly baseHeaders: Readonly<Record<string, string>>;
}

interface AuthorizationRequest {
  readonly request: Request;
  readonly caller: Caller;
  readonly required: RequiredPermission;
}

export class SessionAuthorizer implements Authorizer {
  readonly #parts: AuthorizerParts;

  constructor(parts: AuthorizerParts) {
    this.#parts = parts;
  }

  authorize(request: Request, required: RequiredPermission, caller: Caller): Authorization | Promise<Authorization> {
    if (required.kind === "nothing") return UNRESTRICTED;
    const asked: AuthorizationRequest = { request, caller, required };
    const { authentication } = this.#parts;
    const header = request.headers.get("authorization");
    if (header === null) return this.#judge(authentication.anonymous, asked);
    const outcome = authentication.authenticate(header, caller.address);
    return outcome instanceof Promise
      ? outcome.then((known) => this.#judge(known, asked))
      : this.#judge(outcome, asked);
  }

  #judge(outcome: Outcome, asked: AuthorizationRequest): Authorization {
    if (outcome.kind === "rejected") throw this.#rejected(outcome, asked);
    const { required } = asked;
    const { authorization } = outcome;
    const kind = kindOf(outcome);
    if (isMet(required, authorization, kind)) {
      if (kind !== "token" || !this.#needsWiderToken(required, authorization)) return authorization;
      throw this.#unauthorized(asked, authorization.principal, scopesOf(required), "insufficient_scope");
    }
    const scopes = scopesOf(required);
    if (kind === "anonymous") throw this.#unauthorized(asked, undefined, scopes);
    // Some clients understand one scope only when they are told that theirs is too small.
    if (kind === "token") {
      throw this.#unauthorized(asked, authorization.principal, scopes.slice(0, 1), "insufficient_scope");
    }
    throw denied(authorization, required);
  }

  /** Whether its owner may mount from there and the token does not say so: then another one will, and bytes are saved. */
  #needsWiderToken(required: RequiredPermission, authorization: Authorization): boolean {
    const { policy } = this.#parts;
    if (!policy || required.kind !== "action" || required.from === undefined) return false;
    return !authorization.may("pull", required.from) && policy.allows(authorization.principal, "pull", required.from);
  }

  #rejected(rejected: Rejected, asked: AuthorizationRequest): AccessRefusal {
    const { scheme, refusal, name } = rejected;
    const error = scheme === "bearer" ? "invalid_token" : undefined;
    const { cause, headers } = refusal
      ? { cause: refusal, headers: {} }
      : this.#unauthorized(asked, undefined, scopesOf(asked.required), error);
    return new AccessRefusal(cause, headers, { user: name, rejected });
  }

  #unauthorized(
    { request, caller, required }: AuthorizationRequest,
    principal: Principal,
    scopes: readonly ResourceActions[],
    error?: ChallengeError,
  ): AccessRefusal {
    const { challenge, baseHeaders } = this.#parts;
    const detail = scopes.flatMap(({ type, name, actions }) =>
      actions.map((action) => ({ Type: type, Class: "", Name: name, Action: action })),
    );
    const refusal = new OciError("UNAUTHORIZED", {
      ...(error === undefined ? {} : { message: MESSAGES[error] }),
      ...(detail.length > 0 ? { detail } : {}),
    });
    const headers = {
      ...(required.kind === "credentials" ? baseHeaders : {}),
      "www-authenticate": challengeHeader(challenge, { request, caller, scopes, error }),
    };
    return new AccessRefusal(refusal, headers, { user: principal && nameOf(principal) });
  }
}

/** What a session rests on: nothing, a login, or a token with its scope. */
type SessionKind = "anonymous" | "login" | "token";

function kindOf({ proof: { principal, access } }: Session): SessionKind {
  if (access) return "token";
  return principal ? "login" : "anonymous";
}

function isMet(required: RequiredPermission, authorization: Authorization, kind: SessionKind): boolean {
  switch (required.kind) {
    case "nothing":
    case "anyone":
      return true;
    case "credentials":
      // Most clients learn here, and only here, that credentials may be needed later: so also where much is open to all.
      return kind !== "anonymous";
    case "catalog":
      return authorization.mayListSome;
    case "administration":
      return authorization.isAdministrator;
    case "action":
      return authorization.may(required.action, required.repository);
  }
}

const MESSAGES: Readonly<Record<ChallengeError, string>> = {
  invalid_token: "the token is invalid or expired: get another one",
  insufficient_scope: "the token lacks the required scope: get another token, or log in as another user",
};

/** The same whether the repository is there or not. */
function denied(authorization: Authorization, required: RequiredPermission): AccessRefusal {
  const user = nameOf(authorization.principal);
  const refusal = new OciError("DENIED", {
    message: `${user} may not ${wordsFor(required)}: ask the operator of the registry for the permission`,
  });
  return new AccessRefusal(refusal, {}, { user, denied: permissionIn(authorization, required) });
}

function permissionIn(authorization: Authorization, required: RequiredPermission): RefusedPermission {
  if (required.kind === "administration") return { action: "admin" };
  if (required.kind !== "action") return { action: "list" };
  const { action, repository } = required;
  return { action, repository, rule: authorization.decide(action, repository).by };
}
