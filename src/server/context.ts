/** What every handler of a request is given. */
import type { Authorization } from "../auth/authorization.ts";
import type { TokenService } from "../auth/token-service.ts";
import type { Namespace } from "../registry/namespace.ts";
import type { Clock } from "../lib/clock.ts";
import type { ChangeListener } from "./change-event.ts";
import type { RequestBody } from "./http/body.ts";
import type { Authentication } from "../auth/authentication.ts";
import type { Authorizer } from "./access/authorize.ts";
import type { CommonHeaders } from "./http/common-headers.ts";
import type { Caller, Origins } from "./http/origin.ts";
import type { OtherSites } from "./access/other-sites.ts";
import type { ReadLimits } from "./access/read-limits.ts";

/** What an operator decides about the wire. */
export interface ServerOptions {
  /** Whether blobs, manifests and tags may be deleted by clients. */
  readonly deleteEnabled: boolean;
  /** Whether signatures that are kept beside manifests are shown, and taken. */
  readonly signaturesEnabled: boolean;
  /** Whether telling a client of a manifest may renew a promise, and so is no mere reading. */
  readonly renewsManifests: boolean;
  /** What every reply has. */
  readonly commonHeaders: CommonHeaders;
  /** Refuses what pages of other sites make browsers send; absent where a login does, or where others are meant to come. */
  readonly otherSites?: OtherSites | undefined;
  /** Which proxies are trusted, and what clients call this registry. */
  readonly origins: Origins;
  /** Who may do what. */
  readonly authorizer: Authorizer;
  /** Whether clients may log in. */
  readonly asksForLogin: boolean;
  /** Where tokens are issued; undefined when this registry issues none. */
  readonly tokens?: TokenIssuer | undefined;
  /** How much may be read in a time; no bound when absent. */
  readonly readLimits?: ReadLimits | undefined;
  readonly clock: Clock;
  /** Is told of what clients change. */
  readonly onChange?: ChangeListener | undefined;
  /** Whether lines of the audit are being lost. */
  readonly auditFails?: (() => boolean) | undefined;
  /** The program's version, for people. */
  readonly version: string;
}

/** Issues tokens to clients whose credentials are good. */
export interface TokenIssuer {
  readonly service: TokenService;
  readonly authentication: Authentication;
  /** Whether clients that ask for it get a token that lives for a year, and is exchanged for others (`auth.token.refresh`). */
  readonly refreshTokens: boolean;
}

export interface Context {
  readonly namespace: Namespace;
  readonly options: ServerOptions;
  readonly request: Request;
  /** Whoever sent the request, as far as connection and trusted proxies tell. */
  readonly caller: Caller;
  /** Of the principal that sent it. */
  readonly authorization: Authorization;
  readonly body: RequestBody;
  readonly parameters: URLSearchParams;
}
