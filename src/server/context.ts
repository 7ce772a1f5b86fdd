/** What every handler of a request is given. */
import type { Authorization } from "../auth/authorization.ts";
import type { Action } from "../auth/identity.ts";
import type { Decision } from "../auth/policy.ts";
import type { Robots } from "../auth/robots.ts";
import type { Users } from "../auth/users.ts";
import type { TokenService } from "../auth/token-service.ts";
import type { EventReader } from "../registry/events/events.ts";
import type { PullEvents } from "../registry/events/pulls.ts";
import type { CollectionRuns } from "../registry/gc/collection-runs.ts";
import type { Deletions } from "../registry/inventory/deletions.ts";
import type { Inventory } from "../registry/inventory/inventory.ts";
import type { Maintenance } from "../registry/maintenance.ts";
import type { Cause, Namespace } from "../registry/namespace.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import type { Tag } from "../oci/tag.ts";
import type { ReadinessWatch } from "../registry/readiness.ts";
import type { Clock } from "../lib/clock.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { RequestMetrics } from "../observe/request-metrics.ts";
import type { ChangeListener } from "./change-event.ts";
import type { RequestBody } from "./http/body.ts";
import type { Authentication } from "../auth/authentication.ts";
import type { Authorizer } from "./access/authorize.ts";
import type { CommonHeaders } from "./http/common-headers.ts";
import type { Caller, Origins } from "./http/origin.ts";
import type { OtherSites } from "./access/other-sites.ts";
import type { ReadLimits } from "./access/read-limits.ts";

/** Settings and services of the HTTP server. */
export interface ServerOptions {
  /** What may change while the server runs: to be read at each request. */
  readonly live: LiveOptions;
  /** How many repositories one page of the catalog has at the most. */
  readonly maxCatalogPage: number;
  /** How many tags one page of a list has at the most. */
  readonly maxTagsPage: number;
  /** Whether the signature API is served (`signatures.enabled`). */
  readonly signaturesEnabled: boolean;
  /** Whether a read of a manifest may renew its lease, and so may write. */
  readonly renewsManifests: boolean;
  /** Headers of every response. */
  readonly commonHeaders: CommonHeaders;
  /** Refuses what pages of other sites make browsers send; absent where a login does, or where others are meant to come. */
  readonly otherSites?: OtherSites | undefined;
  /** Trusted proxies, and the public URL of the registry. */
  readonly origins: Origins;
  /** Authenticates and authorizes requests. */
  readonly authorizer: Authorizer;
  /** Whether clients may log in. */
  readonly asksForLogin: boolean;
  /** Where tokens are issued; undefined when this registry issues none. */
  readonly tokens?: TokenIssuer | undefined;
  readonly clock: Clock;
  /** Whether changes are recorded with their cause, for events and the audit table. */
  readonly recordsChanges: boolean;
  /** The outbox, for readers; absent where events are not kept for them. */
  readonly events?: EventReader | undefined;
  /** What the JSON API works with; absent where it is not served. */
  readonly api?: ApiServices | undefined;
  /** Tells endpoints of pulls; absent where none wants to know. */
  readonly pulls?: PullEvents | undefined;
  /** Called for each change by a client. */
  readonly onChange?: ChangeListener | undefined;
  /** Whether `/readyz` says that the server is to be sent requests. */
  readonly readiness: ReadinessWatch;
  /** Whether audit lines are being dropped. */
  readonly auditFails?: (() => boolean) | undefined;
  /** Where requests are counted; absent when they are not. */
  readonly measured?: Measured | undefined;
  /** Why the server should get no requests, as `health` in the settings says it; undefined when it should. */
  readonly notReady?: (() => string | undefined) | undefined;
  /** The program's version, for people. */
  readonly version: string;
}

/** A quota of the settings; absent bounds are none. */
export interface ApiQuota {
  readonly prefix: string;
  readonly bytes?: number | undefined;
  readonly tags?: number | undefined;
  readonly repositories?: number | undefined;
}

/** What operations of the API work with, beside the namespace. */
export interface ApiServices {
  /** Resolves once the database has all of a repository, where a tree is being adopted. */
  whenAdopted(name: RepositoryName): Promise<void>;
  /** What it lists; loaded when it is first asked for. */
  inventory(): Promise<Inventory>;
  /** Deletes in a repository; `cause` is recorded. */
  deletions(name: RepositoryName, cause: Cause | undefined): Promise<Deletions>;
  /** Deletes a repository, or says only whether it would; false when nothing is in it. One with an immutable tag stays. */
  deleteRepository(
    name: RepositoryName,
    cause: Cause | undefined,
    options: { readonly dryRun: boolean },
  ): Promise<boolean | { readonly immutable: Tag }>;
  readonly maintenance: Pick<Maintenance, "backlog" | "collectable" | "jobs" | "quotaUsage" | "recordOperation">;
  readonly users: Users;
  readonly robots: Robots;
  /** Whether a principal may do something; undefined when none of that name is known. */
  explain(name: string, action: Action, repository: RepositoryName): Promise<Decision | undefined>;
  readonly quotas: readonly ApiQuota[];
  readonly collections: CollectionRuns;
}

/** The metrics of a registry, and those of its requests. */
export interface Measured {
  readonly metrics: Metrics;
  readonly requests: RequestMetrics;
}

export interface LiveOptions {
  /** Whether blobs, manifests and tags may be deleted by clients. */
  deleteEnabled: boolean;
  /** Whether clients may change nothing. */
  readOnly: boolean;
  /** Read rate limits; undefined for none. */
  readLimits: ReadLimits | undefined;
}

/** The token issuer. */
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
  /** The client, as the connection and trusted proxies report it. */
  readonly caller: Caller;
  /** The authorization of the principal. */
  readonly authorization: Authorization;
  /** Who makes the change, for what is recorded of it; undefined where nothing is recorded. */
  readonly cause: Cause | undefined;
  readonly body: RequestBody;
  readonly parameters: URLSearchParams;
}
