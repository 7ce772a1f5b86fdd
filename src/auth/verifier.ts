/** Verifiers of credentials. The first one of a list that accepts this kind of credentials decides. */
import type { OciError } from "../oci/error.ts";
import type { ResourceActions } from "./scope.ts";
import type { Identity, Principal } from "./identity.ts";

/** What a client shows. */
export type Credentials = BasicCredentials | { readonly kind: "bearer"; readonly token: string };

/** A name and a password, or what is sent in its place (RFC 7617). */
export interface BasicCredentials {
  readonly kind: "basic";
  readonly name: string;
  readonly password: string;
}

/** What a proof rests on: an account, the keys of an issuer, a list of rules. */
export interface Basis {
  /** Whether it still is what it was when it had this generation. At once, unless the database has to be asked. */
  isAt(generation: string): boolean | Promise<boolean>;
}

/** Accepted credentials. */
export interface Proof {
  readonly kind: "proof";
  /** Undefined for a token that was issued to an anonymous client. */
  readonly principal: Principal;
  /** The scope of a token; absent for other credentials. */
  readonly access?: readonly ResourceActions[] | undefined;
  /** Expiry, in milliseconds since 1970. */
  readonly expiresAt: number;
  /** The proof holds as long as `basis` is at `generation`. */
  readonly basis: Basis;
  readonly generation: string;
}

/** Why credentials are rejected. */
export const REASONS = {
  malformed: "malformed credentials",
  unsupported: "this kind of credentials is not accepted",
  "unknown user": "unknown user",
  "wrong password": "wrong password",
  "unknown token": "unknown or revoked token",
  "other robot": "the token belongs to another robot",
  expired: "expired",
  time: "not valid yet, or issued in the future",
  issuer: "untrusted issuer",
  audience: "wrong audience",
  key: "signed with an untrusted key",
  signature: "wrong signature",
  claims: "no rule matches its claims, or a required claim is missing",
  changed: "the account has changed since the token was issued",
  throttled: "too many failed logins",
  unavailable: "the credentials could not be verified",
} as const;

export type Reason = keyof typeof REASONS;

/** Rejected credentials. The reason is logged, and never sent to the client. */
export interface Rejection {
  readonly kind: "rejection";
  readonly reason: Reason;
  /** Sent to the client instead of 401. */
  readonly refusal?: OciError;
}

export type Verdict = Proof | Rejection;

export interface Verifier {
  /** Whether this verifier handles such credentials. */
  takes(credentials: Credentials): boolean;
  /** `address` is the client's. Rejects for internal errors alone. */
  verify(credentials: Credentials, address: string | undefined): Promise<Verdict>;
}

/** One that knows accounts, to which tokens may be issued. */
export interface AccountVerifier extends Verifier {
  /** What a token rests on that was issued to such a principal; undefined when it is none of this verifier's. */
  basisOf(principal: Identity): Basis | undefined;
  /** The user or robot of this name, as if they had just logged in. Undefined when there is none. */
  find?(kind: Identity["kind"], name: string): Promise<Identity | undefined>;
}

export function rejection(reason: Reason, refusal?: OciError): Rejection {
  return { kind: "rejection", reason, ...(refusal && { refusal }) };
}

/** A proof that is never valid: for principals that no longer exist. */
export const NO_BASIS: Basis = { isAt: () => false };

/** What always holds: for tokens that rest on nothing but their signature. */
export const ALWAYS: Basis = { isAt: () => true };
