/** The one gate: every request passes it, and learns there who asks and what that one may do. */
import type { AccessToken, ResourceActions, TokenVerifier } from "../auth/access-token.ts";
import type { RememberingAuthenticator } from "../auth/authenticators.ts";
import type { Authenticator, Identity } from "../auth/identity.ts";
import { nameOf } from "../auth/policy.ts";
import type { Policy, Who } from "../auth/policy.ts";
import type { Clock } from "../lib/clock.ts";
import { OciError } from "../oci/error.ts";
import { EVERYTHING, admissionByPolicy, admissionByToken } from "./admission.ts";
import type { Admission } from "./admission.ts";
import { challengeHeader } from "./challenge.ts";
import type { Challenge, ChallengeError } from "./challenge.ts";
import { parseCredentials } from "./credentials.ts";
import type { Credentials } from "./credentials.ts";
import { RefusedWithHeaders } from "./error-reply.ts";
import { scopesOf, wordsFor } from "./need.ts";
import type { Need } from "./need.ts";
import type { Caller } from "./origin.ts";

/** At once whenever nothing has to be looked up: it stands before every request. */
export interface Gate {
  /** Refused with `UNAUTHORIZED` and a challenge, or with `DENIED`. */
  admit(request: Request, need: Need, caller: Caller): Admission | Promise<Admission>;
}

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

interface Asked {
  readonly request: Request;
  readonly caller: Caller;
  readonly need: Need;
}

/** Who asks, when that can be told. */
type Proof =
  | { readonly kind: "anonymous" | "user" | "token"; readonly admission: Admission }
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
  /** By the header that was sent: tokens are good for minutes, and who sees this memory sees the keys that make them too. */
  readonly #remembered = new Map<string, Remembered>();
  /** Of identities that an authenticator remembers. */
  readonly #proofs = new WeakMap<Identity, Proof>();
  readonly #anonymous: Proof;

  constructor(parts: GateParts) {
    this.#parts = parts;
    this.#anonymous = { kind: "anonymous", admission: admissionByPolicy(parts.policy, undefined) };
  }

  admit(request: Request, need: Need, caller: Caller): Admission | Promise<Admission> {
    if (need.kind === "nothing") return EVERYTHING;
    const asked: Asked = { request, caller, need };
    const header = request.headers.get("authorization");
    const proof = header === null ? this.#anonymous : (this.#recall(header) ?? this.#prove(header, caller));
    return proof instanceof Promise ? proof.then((known) => this.#judge(known, asked)) : this.#judge(proof, asked);
  }

  #judge(proof: Proof, asked: Asked): Admission {
    const { need } = asked;
    if (proof.kind === "bad") {
      throw this.#unauthorized(asked, scopesOf(need), proof.sent === "bearer" ? "invalid_token" : undefined);
    }
    if (isMet(need, proof)) {
      if (proof.kind !== "token" || !this.#needsWiderToken(need, proof.admission)) return proof.admission;
      throw this.#unauthorized(asked, scopesOf(need), "insufficient_scope");
    }
    if (proof.kind === "anonymous") throw this.#unauthorized(asked, scopesOf(need));
    // Some clients understand one scope only when they are told that theirs is too small.
    if (proof.kind === "token") throw this.#unauthorized(asked, scopesOf(need).slice(0, 1), "insufficient_scope");
    throw denied(proof.admission.who, need);
  }

  /** Whether its owner may mount from there and the token does not say so: then another one will, and bytes are saved. */
  #needsWiderToken(need: Need, admission: Admission): boolean {
    const { ownTokens, policy } = this.#parts;
    if (!ownTokens || need.kind !== "action" || need.from === undefined) return false;
    return !admission.may("pull", need.from) && policy.allows(admission.who, "pull", need.from);
  }

  #unauthorized(
    { request, caller, need }: Asked,
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
      ...(need.kind === "credentials" ? baseHeaders : {}),
      "www-authenticate": challengeHeader(challenge, { request, caller, scopes, error }),
    });
  }

  /** Whom a header belongs to that was proven a moment ago, as nearly all clients write it. */
  #recall(header: string): Proof | Promise<Proof> | undefined {
    if (header.startsWith("Basic ")) {
      const who = this.#parts.authenticator?.remembered?.(header.slice("Basic ".length));
      return who && this.#proofOf(who);
    }
    const remembered = this.#remembered.get(header);
    if (!remembered) return undefined;
    if (remembered.token.expiresAt > this.#parts.clock.now()) return this.#ifCurrent(remembered);
    this.#remembered.delete(header);
    return undefined;
  }

  /** Who sent this header. */
  #prove(header: string, caller: Caller): Proof | Promise<Proof> {
    const credentials = parseCredentials(header);
    switch (credentials.kind) {
      case "none":
        return this.#anonymous;
      case "basic":
        return this.#proveUser(credentials, caller);
      case "bearer":
        return this.#proveToken(credentials.token, header);
      case "unknown":
        return { kind: "bad", sent: "unknown" };
    }
  }

  async #proveUser(
    { name, password }: Extract<Credentials, { readonly kind: "basic" }>,
    { address }: Caller,
  ): Promise<Proof> {
    return this.#proofOf(await this.#parts.authenticator?.authenticate(name, password, address));
  }

  #proofOf(who: Who): Proof {
    if (!who) return { kind: "bad", sent: "basic" };
    let proof = this.#proofs.get(who);
    if (!proof)
      this.#proofs.set(who, (proof = { kind: "user", admission: admissionByPolicy(this.#parts.policy, who) }));
    return proof;
  }

  async #proveToken(text: string, header: string): Promise<Proof> {
    const { tokens, ownTokens, policy } = this.#parts;
    const token = await tokens.verify(text);
    if (!token) return { kind: "bad", sent: "bearer" };
    const admission = admissionByToken(token, ownTokens ? policy : undefined);
    const remembered: Remembered = { token, proof: { kind: "token", admission } };
    if (header.length <= MAX_REMEMBERED_LENGTH) {
      if (this.#remembered.size >= MAX_REMEMBERED) this.#forgetSome();
      this.#remembered.set(header, remembered);
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
}

function isMet(need: Need, proof: Exclude<Proof, { readonly kind: "bad" }>): boolean {
  switch (need.kind) {
    case "nothing":
      return true;
    case "credentials":
      // Most clients learn here, and only here, that credentials may be needed later: so also where much is open to all.
      return proof.kind !== "anonymous";
    case "catalog":
      return proof.admission.mayListSome;
    case "action":
      return proof.admission.may(need.action, need.repository);
  }
}

const MESSAGES: Readonly<Record<ChallengeError, string>> = {
  invalid_token: "the token is not good, or not any more: get another one",
  insufficient_scope:
    "the token does not allow this: get one for the scope that is asked for, or log in as somebody else",
};

/** The same whether the repository is there or not. */
function denied(who: Who, need: Need): OciError {
  return new OciError("DENIED", {
    message: `${nameOf(who)} may not ${wordsFor(need)}: ask the operator of the registry for that right`,
  });
}
