/** What a token says that its bearer may do: the claims of Docker's token protocol. */
import type { Identity } from "./identity.ts";

/** Actions on one resource, as a token's `access` claim and a `scope` name them. */
export interface ResourceActions {
  /** `repository` or `registry`. */
  readonly type: string;
  readonly name: string;
  /** Such as `pull`; `*` for all. */
  readonly actions: readonly string[];
}

/** A token that was verified: its signature, issuer, audience and time are good. */
export interface AccessToken {
  /** Whom it was issued to; undefined for nobody in particular. */
  readonly identity: Identity | undefined;
  readonly access: readonly ResourceActions[];
  /** Milliseconds since 1970 from which on it is worth nothing. */
  readonly expiresAt: number;
}

/** Tells good tokens from others. */
export interface TokenVerifier {
  /** Undefined when the token is not good, for whatever reason. */
  verify(token: string): Promise<AccessToken | undefined>;
}

/** Where clients get the tokens that an external server issues (distribution's `auth: token`). */
export interface ExternalTokens extends TokenVerifier {
  /** An address, or a path such as `/auth/token` at this registry's own origin (`autoredirect`). */
  readonly realm: string;
  readonly service: string;
}
