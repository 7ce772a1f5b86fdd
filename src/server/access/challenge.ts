/** The `WWW-Authenticate` challenge of a 401: one challenge in one header, because clients read no second one. */
import type { ResourceActions } from "../../auth/scope.ts";
import { formatScope } from "../../auth/scope.ts";
import type { Caller, Origins } from "../http/origin.ts";

export type Challenge =
  | { readonly kind: "basic"; readonly realm: string }
  | {
      readonly kind: "bearer";
      readonly service: string;
      /** Where tokens are issued: an address, or a path of this registry's own. */
      readonly realm: string;
      readonly origins: Origins;
    };

/** Why a token was not enough (RFC 6750, 3.1). */
export type ChallengeError = "invalid_token" | "insufficient_scope";

/** The refused request, and the scopes that it requires. */
export interface Challenged {
  readonly request: Request;
  readonly caller: Caller;
  readonly scopes: readonly ResourceActions[];
  readonly error: ChallengeError | undefined;
}

/** Returns the value of `WWW-Authenticate` (RFC 9110, 11.6.1; for Bearer RFC 6750, section 3, with Docker's `service`). */
export function challengeHeader(challenge: Challenge, { request, caller, scopes, error }: Challenged): string {
  if (challenge.kind === "basic") return `Basic realm=${quoted(challenge.realm)}`;
  const { realm, service, origins } = challenge;
  const parameters = {
    // Clients do not resolve a relative address.
    realm: realm.startsWith("/") ? `${origins.baseOf(request, caller)}${realm}` : realm,
    service,
    ...(scopes.length > 0 ? { scope: scopes.map(formatScope).join(" ") } : {}),
    ...(error === undefined ? {} : { error }),
  };
  return `Bearer ${Object.entries(parameters)
    .map(([name, value]) => `${name}=${quoted(value)}`)
    .join(",")}`;
}

/** A quoted string of a header (RFC 9110, 5.6.4); each byte of UTF-8 becomes a letter, as headers are written. */
function quoted(text: string): string {
  const escaped = text.replaceAll(/\p{Cc}/gu, "").replaceAll(/["\\]/g, "\\$&");
  return `"${Buffer.from(escaped).toString("latin1")}"`;
}
