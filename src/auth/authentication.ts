/** Who sends a request: by the credentials in its `Authorization` header, which are verified once and then cached. */
import { BoundedAuthorization } from "./authorization.ts";
import { CredentialCache } from "./credential-cache.ts";
import type { Session } from "./credential-cache.ts";
import type { Policy } from "./policy.ts";
import { ALWAYS } from "./verifier.ts";
import type { Credentials, Proof, Reason, Verifier } from "./verifier.ts";
import type { Clock } from "../lib/clock.ts";
import { SingleFlight } from "../lib/single-flight.ts";
import type { OciError } from "../oci/error.ts";
import { parseCredentials } from "./credentials.ts";

/** Rejected credentials. */
export interface Rejected {
  readonly kind: "rejected";
  readonly scheme: "basic" | "bearer" | "unknown";
  readonly reason: Reason;
  /** The user name that was tried; undefined for tokens. */
  readonly name?: string | undefined;
  /** Sent to the client instead of 401. */
  readonly refusal?: OciError | undefined;
}

export type Outcome = Session | Rejected;

export interface AuthenticationParts {
  /** The first verifier that accepts this kind of credentials decides. */
  readonly verifiers: readonly Verifier[];
  readonly policy: Policy;
  /** Whether the server that issues tokens decides alone what they allow. */
  readonly tokensDecide: boolean;
  readonly clock: Clock;
  readonly onLogin?: LoginListener | undefined;
}

/** Called when credentials were verified, not when they were in the cache: accepted, or why they were refused. */
export type LoginListener = (scheme: "basic" | "bearer", result: "accepted" | Reason) => void;

/** For so long a password is not hashed again. */
const PASSWORD_SESSION_MS = 60_000;

/** Bytes of decisions that are kept for one session, and for all anonymous clients together. */
const [SESSION_DECISION_BYTES, ANONYMOUS_DECISION_BYTES] = [32 * 1024, 1024 ** 2];

export class Authentication {
  readonly #parts: AuthenticationParts;
  readonly #cache: CredentialCache;
  /** Verifications under way: concurrent requests with the same credentials share one. */
  readonly #verifying = new SingleFlight<string, Outcome>();
  /** Of clients that show nothing. */
  readonly anonymous: Session;

  constructor(parts: AuthenticationParts) {
    this.#parts = parts;
    this.#cache = new CredentialCache(parts.clock);
    const proof: Proof = { kind: "proof", principal: undefined, expiresAt: Infinity, basis: ALWAYS, generation: "" };
    this.anonymous = this.#sessionOf(proof, Infinity, ANONYMOUS_DECISION_BYTES);
  }

  /** By an `Authorization` header; at once when it is cached, and nothing has to be asked. */
  authenticate(header: string, address: string | undefined): Outcome | Promise<Outcome> {
    const key = this.#cache.keyOf(header);
    const session = this.#cache.find(key);
    if (!session) return this.#verify(key, header, address);
    const { basis, generation } = session.proof;
    const holds = basis.isAt(generation);
    if (holds === true) return session;
    if (holds === false) return this.#verify(key, header, address);
    return holds.then((does) => (does ? session : this.#verify(key, header, address)));
  }

  async #verify(key: string, header: string, address: string | undefined): Promise<Outcome> {
    this.#cache.delete(key);
    const credentials = parseCredentials(header);
    switch (credentials.kind) {
      case "none":
        return this.anonymous;
      case "unknown":
        return { kind: "rejected", scheme: "unknown", reason: "malformed" };
      default:
        return await this.#verifying.run(key, async () => {
          const outcome = await this.#prove(key, credentials, address);
          this.#parts.onLogin?.(credentials.kind, outcome.kind === "rejected" ? outcome.reason : "accepted");
          return outcome;
        });
    }
  }

  async #prove(key: string, credentials: Credentials, address: string | undefined): Promise<Outcome> {
    const rejected = (reason: Reason, refusal?: OciError): Rejected => ({
      kind: "rejected",
      scheme: credentials.kind,
      name: credentials.kind === "basic" ? credentials.name : undefined,
      reason,
      refusal,
    });
    const { verifiers, clock } = this.#parts;
    const verifier = verifiers.find((each) => each.takes(credentials));
    if (!verifier) return rejected("unsupported");
    const verdict = await verifier.verify(credentials, address);
    if (verdict.kind === "rejection") return rejected(verdict.reason, verdict.refusal);
    if (!(await verdict.basis.isAt(verdict.generation))) return rejected("changed");
    const until = credentials.kind === "basic" ? clock.now() + PASSWORD_SESSION_MS : Infinity;
    const session = this.#sessionOf(verdict, Math.min(verdict.expiresAt, until), SESSION_DECISION_BYTES);
    this.#cache.store(key, session);
    return session;
  }

  #sessionOf(proof: Proof, expiresAt: number, maxDecisionBytes: number): Session {
    const { policy, tokensDecide } = this.#parts;
    const { principal, access } = proof;
    const bounds = access && tokensDecide ? { access } : { policy, access };
    const authorization = new BoundedAuthorization(principal, bounds, maxDecisionBytes);
    return { kind: "session", proof, authorization, expiresAt };
  }
}
