/** The one gate: every request passes it, and learns there who asks and what that one may do. */
import { hash, randomBytes } from "node:crypto";
import type { AccessToken, ResourceActions, TokenVerifier } from "../auth/access-token.ts";
import type { RememberingAuthenticator } from "../auth/authenticators.ts";
import type { Action, Authenticator, Identity } from "../auth/identity.ts";
import { nameOf } from "../auth/policy.ts";
import type { Decision, Policy, Who } from "../auth/policy.ts";
import type { Clock } from "../lib/clock.ts";
import { OciError } from "../oci/error.ts";
import { parseRepositoryName, repositoryName } from "../oci/repository-name.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import { challengeHeader } from "./challenge.ts";
import type { Challenge, ChallengeError } from "./challenge.ts";
import { parseCredentials } from "./credentials.ts";
import type { Credentials } from "./credentials.ts";
import { RefusedWithHeaders } from "./error-reply.ts";
import type { Caller } from "./origin.ts";
import type { Route } from "./routes.ts";

/** Who was let in, and what else that one may do. */
export interface Admission {
  /** Undefined is anonymous. */
  readonly who: Who;
  may(action: Action, repository: RepositoryName): boolean;
  /** As `may`, with the reason, for the audit. */
  decide(action: Action, repository: RepositoryName): Decision;
  /** Whether the repository belongs into a list of those that are here. */
  mayList(repository: RepositoryName): boolean;
}

/** At once whenever nothing has to be looked up: it stands before every request. */
export interface Gate {
  /** Refused with `UNAUTHORIZED` and a challenge, or with `DENIED`; `NAME_INVALID` for what cannot be a repository. */
  admit(request: Request, route: Route, caller: Caller): Admission | Promise<Admission>;
}

/** Of a registry where nobody has to prove anything. */
export const OPEN_DECISION: Decision = {
  allowed: true,
  by: "the absence of authentication: everybody may do everything",
};

const EVERYTHING: Admission = {
  who: undefined,
  may: () => true,
  decide: () => OPEN_DECISION,
  mayList: () => true,
};

/** The gate of a registry without authentication. */
export const OPEN_GATE: Gate = { admit: () => EVERYTHING };

/** One that may also say at once whom it has just proven, and whom it knows. */
export type GateAuthenticator = Authenticator & Partial<Pick<RememberingAuthenticator, "remembered" | "find">>;

export interface GateParts {
  readonly policy: Policy;
  /** Absent where tokens of another server are all that counts. */
  readonly authenticator?: GateAuthenticator | undefined;
  readonly tokens: TokenVerifier;
  /** Whether `tokens` are ours: the policy then bounds them too, and their owner must still be there. */
  readonly ownTokens: boolean;
  readonly challenge: Challenge;
  /** What `GET /v2/` says also when it refuses. */
  readonly baseHeaders: Readonly<Record<string, string>>;
  readonly clock: Clock;
}

/** What a request needs: nothing, to be somebody, or a right. */
type Need =
  | { readonly kind: "nothing" | "credentials" | "catalog" }
  | {
      readonly kind: "action";
      readonly action: Action;
      readonly repository: RepositoryName;
      /** Where a blob is to be mounted from. */
      readonly from?: RepositoryName | undefined;
    };

interface Asked {
  readonly request: Request;
  readonly route: Route;
  readonly caller: Caller;
  readonly need: Need;
}

/** Who asks, when that can be told. */
type Proof =
  | { readonly kind: "anonymous" | "user" | "token"; readonly admission: Admission; readonly catalog: boolean }
  | { readonly kind: "bad"; readonly sent: Credentials["kind"] };

interface Remembered {
  readonly token: AccessToken;
  readonly proof: Proof;
}

/** Tokens that are remembered as good. */
const MAX_REMEMBERED = 10_000;

/** A longer one is verified each time: whoever asks for tokens decides how much stands in them. */
const MAX_REMEMBERED_LENGTH = 4096;

export class CheckingGate implements Gate {
  readonly #parts: GateParts;
  /** Known to this process alone: who sees its memory sees no token that could be used. */
  readonly #secret = randomBytes(32).toString("base64");
  readonly #remembered = new Map<string, Remembered>();
  /** Of identities that an authenticator remembers. */
  readonly #proofs = new WeakMap<Identity, Proof>();
  readonly #anonymous: Proof;

  constructor(parts: GateParts) {
    this.#parts = parts;
    this.#anonymous = { kind: "anonymous", ...this.#byPolicy(undefined) };
  }

  admit(request: Request, route: Route, caller: Caller): Admission | Promise<Admission> {
    const need = needOf(request, route);
    if (need.kind === "nothing") return EVERYTHING;
    const asked: Asked = { request, route, caller, need };
    const proof = this.#prove(request.headers.get("authorization"), caller);
    return proof instanceof Promise ? proof.then((known) => this.#judge(known, asked)) : this.#judge(proof, asked);
  }

  #judge(proof: Proof, asked: Asked): Admission {
    const { need } = asked;
    const [own, ...others] = scopesOf(need);
    const all = own ? [own, ...others] : [];
    if (proof.kind === "bad") {
      throw this.#unauthorized(asked, all, proof.sent === "bearer" ? "invalid_token" : undefined);
    }
    if (isMet(need, proof)) {
      if (proof.kind === "token" && this.#needsWiderToken(need, proof)) {
        throw this.#unauthorized(asked, all, "insufficient_scope");
      }
      return proof.admission;
    }
    if (proof.kind === "anonymous") throw this.#unauthorized(asked, all);
    // Some clients understand one scope only when they are told that theirs is too small.
    if (proof.kind === "token") throw this.#unauthorized(asked, own ? [own] : [], "insufficient_scope");
    throw denied(proof.admission.who, need);
  }

  /** Whether its owner may mount from there and the token does not say so: then another one will, and bytes are saved. */
  #needsWiderToken(need: Need, { admission }: { readonly admission: Admission }): boolean {
    const { ownTokens, policy } = this.#parts;
    if (!ownTokens || need.kind !== "action" || need.from === undefined) return false;
    return !admission.may("pull", need.from) && policy.allows(admission.who, "pull", need.from);
  }

  #unauthorized(
    { request, route, caller }: Asked,
    scopes: readonly ResourceActions[],
    error?: ChallengeError,
  ): RefusedWithHeaders {
    const { challenge, baseHeaders } = this.#parts;
    const detail = scopes.flatMap(({ type, name, actions }) =>
      actions.map((action) => ({ Type: type, Class: "", Name: name, Action: action })),
    );
    const refusal = new OciError("UNAUTHORIZED", {
      ...(error === undefined ? {} : { message: MESSAGES[error] }),
      ...(detail.length > 0 ? { detail } : {}),
    });
    return new RefusedWithHeaders(refusal, {
      ...(route.kind === "base" ? baseHeaders : {}),
      "www-authenticate": challengeHeader(challenge, { request, caller, scopes, error }),
    });
  }

  /** Who sent this header. */
  #prove(header: string | null, caller: Caller): Proof | Promise<Proof> {
    const credentials = parseCredentials(header);
    switch (credentials.kind) {
      case "none":
        return this.#anonymous;
      case "basic":
        return this.#proveUser(credentials, caller);
      case "bearer":
        return this.#proveBearer(credentials.token);
      case "unknown":
        return { kind: "bad", sent: "unknown" };
    }
  }

  #proveUser(
    { name, password }: Extract<Credentials, { readonly kind: "basic" }>,
    caller: Caller,
  ): Proof | Promise<Proof> {
    const { authenticator } = this.#parts;
    const remembered = authenticator?.remembered?.(name, password);
    if (remembered || !authenticator) return this.#proofOf(remembered);
    return authenticator.authenticate(name, password, caller.address).then((who) => this.#proofOf(who));
  }

  #proofOf(who: Who): Proof {
    if (!who) return { kind: "bad", sent: "basic" };
    let proof = this.#proofs.get(who);
    if (!proof) this.#proofs.set(who, (proof = { kind: "user", ...this.#byPolicy(who) }));
    return proof;
  }

  #proveBearer(token: string): Proof | Promise<Proof> {
    const key = hash("sha256", this.#secret + token, "base64");
    const remembered = this.#remembered.get(key);
    if (remembered) {
      if (remembered.token.expiresAt > this.#parts.clock.now()) return this.#ifCurrent(remembered);
      this.#remembered.delete(key);
    }
    return this.#proveToken(token, key);
  }

  async #proveToken(text: string, key: string): Promise<Proof> {
    const token = await this.#parts.tokens.verify(text);
    if (!token) return { kind: "bad", sent: "bearer" };
    const remembered: Remembered = { token, proof: { kind: "token", ...this.#byToken(token) } };
    if (text.length <= MAX_REMEMBERED_LENGTH) {
      if (this.#remembered.size >= MAX_REMEMBERED) this.#forgetSome();
      this.#remembered.set(key, remembered);
    }
    return await this.#ifCurrent(remembered);
  }

  /** What was issued for an account that has changed since is worth nothing. */
  #ifCurrent({ token, proof }: Remembered): Proof | Promise<Proof> {
    const { ownTokens, authenticator } = this.#parts;
    if (!ownTokens || !token.identity || !authenticator) return proof;
    const bad: Proof = { kind: "bad", sent: "bearer" };
    const current = authenticator.isCurrent(token.identity);
    return typeof current === "boolean" ? (current ? proof : bad) : current.then((is) => (is ? proof : bad));
  }

  /** The oldest, which expire first. */
  #forgetSome(): void {
    let left = MAX_REMEMBERED / 10;
    for (const key of this.#remembered.keys()) {
      if (left-- <= 0) return;
      this.#remembered.delete(key);
    }
  }

  #byPolicy(who: Who): { readonly admission: Admission; readonly catalog: boolean } {
    const { policy } = this.#parts;
    return {
      admission: {
        who,
        may: (action, repository) => policy.allows(who, action, repository),
        decide: (action, repository) => policy.decide(who, action, repository),
        mayList: (repository) => policy.allows(who, "pull", repository),
      },
      catalog: policy.allowsSomePull(who),
    };
  }

  #byToken({ identity: who, access }: AccessToken): { readonly admission: Admission; readonly catalog: boolean } {
    const { policy, ownTokens } = this.#parts;
    const isInScope = (action: Action, repository: RepositoryName): boolean =>
      access.some(
        ({ type, name, actions }) =>
          type === "repository" && name === repository && (actions.includes(action) || actions.includes("*")),
      );
    const decide = (action: Action, repository: RepositoryName): Decision => {
      if (!isInScope(action, repository)) return { allowed: false, by: "the scope of the token" };
      return ownTokens ? policy.decide(who, action, repository) : { allowed: true, by: "the token server" };
    };
    return {
      admission: {
        who,
        may: (action, repository) => decide(action, repository).allowed,
        decide,
        mayList: (repository) => !ownTokens || policy.allows(who, "pull", repository),
      },
      catalog: access.some(
        ({ type, name, actions }) => type === "registry" && name === "catalog" && actions.includes("*"),
      ),
    };
  }
}

/** The right that each endpoint asks for. */
function needOf(request: Request, route: Route): Need {
  const { method } = request;
  const reads = method === "GET" || method === "HEAD";
  switch (route.kind) {
    case "welcome":
    case "health":
    case "ready":
    case "token":
    case "keys":
      return { kind: "nothing" };
    case "base":
      return { kind: "credentials" };
    case "catalog":
      return { kind: "catalog" };
    case "tags":
    case "referrers":
      return rightTo(route.name, "pull");
    case "blob":
      return rightTo(route.name, reads ? "pull" : "delete");
    case "manifest":
      return rightTo(route.name, reads ? "pull" : method === "DELETE" ? "delete" : "push");
    case "signatures":
      return rightTo(route.name, reads ? "pull" : "push");
    // Whoever may push may also look where an upload stands, and give it up.
    case "upload":
      return rightTo(route.name, "push");
    case "uploads":
      return { ...rightTo(route.name, "push"), from: mountedFrom(request) };
  }
}

/** Refused with `NAME_INVALID` for a name that cannot be: nothing is said by that which the grammar does not say. */
function rightTo(name: string, wanted: Action): Extract<Need, { readonly kind: "action" }> {
  return { kind: "action", action: wanted, repository: repositoryName(name) };
}

function isMet(need: Need, proof: Exclude<Proof, { readonly kind: "bad" }>): boolean {
  switch (need.kind) {
    case "nothing":
      return true;
    case "credentials":
      // Most clients learn here, and only here, that credentials may be needed later: so also where much is open to all.
      return proof.kind !== "anonymous";
    case "catalog":
      return proof.catalog;
    case "action":
      return proof.admission.may(need.action, need.repository);
  }
}

/** What a token would have to allow, most important first. */
function scopesOf(need: Need): readonly ResourceActions[] {
  if (need.kind === "catalog") return [{ type: "registry", name: "catalog", actions: ["*"] }];
  if (need.kind !== "action") return [];
  const { action, repository, from } = need;
  const actions = action === "push" ? ["pull", "push"] : [action];
  const own = { type: "repository", name: repository, actions };
  return from === undefined ? [own] : [own, { type: "repository", name: from, actions: ["pull"] }];
}

function mountedFrom({ url }: Request): RepositoryName | undefined {
  if (!url.includes("from=")) return undefined;
  return parseRepositoryName(new URL(url).searchParams.get("from") ?? "");
}

const MESSAGES: Readonly<Record<ChallengeError, string>> = {
  invalid_token: "the token is not good, or not any more: get another one",
  insufficient_scope:
    "the token does not allow this: get one for the scope that is asked for, or log in as somebody else",
};

const VERBS: Readonly<Record<Action, string>> = {
  pull: "pull from",
  push: "push to",
  delete: "delete from",
  admin: "administer",
};

/** The same whether the repository is there or not. */
function denied(who: Who, need: Need): OciError {
  const what = need.kind === "action" ? `${VERBS[need.action]} ${need.repository}` : "list repositories";
  return new OciError("DENIED", {
    message: `${nameOf(who)} may not ${what}: ask the operator of the registry for that right`,
  });
}
