/** Puts a registry together: for the program and for programs that embed it. */
import type { Rule } from "./auth/policy.ts";
import { Robots } from "./auth/robots.ts";
import { Users } from "./auth/users.ts";
import { systemClock } from "./lib/clock.ts";
import type { Clock } from "./lib/clock.ts";
import { isLoopbackHost } from "./lib/network.ts";
import { OPERATOR_RULE } from "./metadata/audit.ts";
import { DEFAULT_RULES } from "./metadata/database.ts";
import type { RetentionRules } from "./metadata/database.ts";
import type { Quota } from "./metadata/database.ts";
import { Metadata } from "./metadata/metadata.ts";
import { observerOfAll } from "./observe/calls.ts";
import type { CallObserver } from "./observe/calls.ts";
import { silentLogger } from "./observe/logger.ts";
import type { Logger } from "./observe/logger.ts";
import { Metrics } from "./observe/metrics.ts";
import { RequestMetrics } from "./observe/request-metrics.ts";
import { openAccess } from "./open-access.ts";
import type { Access, AccessOptions } from "./open-access.ts";
import { openDrivers } from "./open-drivers.ts";
import type { StorageOptions } from "./open-drivers.ts";
import { openAdoption } from "./registry/adoption/open-adoption.ts";
import { DEFAULT_LIMITS, createBackend } from "./registry/backend.ts";
import type { Backend, RegistryLimits } from "./registry/backend.ts";
import { createEvents } from "./registry/events/events.ts";
import type { AuditOptions, EventsOptions } from "./registry/events/events.ts";
import { CollectionRuns } from "./registry/gc/collection-runs.ts";
import { emptyTrash } from "./registry/gc/trash.ts";
import { createMaintenance } from "./registry/maintenance.ts";
import type { Maintenance } from "./registry/maintenance.ts";
import type { Inventory } from "./registry/inventory/inventory.ts";
import { confirmIdentity } from "./registry/store-identity.ts";
import { LocalNamespace } from "./registry/namespace.ts";
import type { Namespace } from "./registry/namespace.ts";
import { ReadinessWatch } from "./registry/readiness.ts";
import type { ChangeListener } from "./server/change-event.ts";
import type { LiveOptions, ServerOptions } from "./server/context.ts";
import { CommonHeaders } from "./server/http/common-headers.ts";
import type { ConfiguredHeaders } from "./server/http/common-headers.ts";
import { LIMITS } from "./server/http/limits.ts";
import { createHandler } from "./server/pipeline.ts";
import type { Handler } from "./server/http/handler.ts";
import { listenOnRuntime } from "./server/listen/embedded-listener.ts";
import type { ListenOptions, RegistryListener } from "./server/listen/embedded-listener.ts";
import { Origins } from "./server/http/origin.ts";
import type { OriginOptions } from "./server/http/origin.ts";
import { OtherSites } from "./server/access/other-sites.ts";
import type { OtherSitesOptions } from "./server/access/other-sites.ts";
import { createReadLimits } from "./server/access/read-limits.ts";
import type { ReadLimitOptions } from "./server/access/read-limits.ts";
import { openedOrRefused } from "./server/http/error-reply.ts";
import { streamFile, toResponse } from "./server/http/reply.ts";
import { VERSION } from "./version.ts";

export interface RegistryOptions {
  readonly storage: StorageOptions;
  /** Whether clients may delete; true when absent. */
  readonly deleteEnabled?: boolean;
  /** Whether clients may change nothing; false when absent. */
  readonly readOnly?: boolean;
  /** Whether signatures beside manifests are shown and taken over HTTP; false when absent. */
  readonly signaturesEnabled?: boolean;
  /** Where requests come from, and what clients call this registry. */
  readonly origin?: OriginOptions;
  /**
   * For a registry that listens to its machine alone and asks for no login: whether it refuses what web pages of other sites
   * make a browser there send, and names that are not its own. When absent, `listen` does, and `fetch` serves them; a registry
   * with `access` refuses what browsers mark.
   */
  readonly otherSites?: Pick<OtherSitesOptions, "refused"> | undefined;
  /** Headers that every reply has besides the registry's own, which win; CORS is obeyed when they say it. */
  readonly headers?: ConfiguredHeaders;
  /** Authentication and authorization; without them every client may do everything. */
  readonly access?: AccessOptions;
  readonly limits?: Partial<RegistryLimits>;
  /** How much may be read in a minute; without bounds when absent. */
  readonly readLimits?: ReadLimitOptions;
  /** How much may lie below prefixes of names. */
  readonly quotas?: readonly Quota[];
  /** Called for each change that a client makes over HTTP, once it is durable. */
  readonly onChange?: ChangeListener;
  /** Whether changes are being lost on their way to `onChange` or the log: then `/readyz` answers 503. */
  readonly auditFails?: () => boolean;
  /** Why this server should get no requests now; then `/readyz` answers 503 with it. Undefined while it should. */
  readonly notReady?: () => string | undefined;
  /** How many entries one page of the catalog has at the most, and one of a list of tags; 1,000 and 10,000 when absent. */
  readonly pages?: { readonly catalog?: number; readonly tags?: number };
  /**
   * Events of changes, which are recorded in the transactions that make them; `sendEvents` sends them to the endpoints. None are
   * recorded when absent.
   */
  readonly events?: EventsOptions;
  /** Keeps changes in the audit table; they are not kept when absent. */
  readonly audit?: AuditOptions;
  /** Who makes the changes that no request makes, such as `system:root`, for events and audit table. */
  readonly operator?: string;
  /** What collection keeps, and for how long. */
  readonly collection?: Partial<RetentionRules>;
  /** Whether requests and calls to database and storage are counted in `metrics`; false when absent. */
  readonly measure?: boolean | MeasureOptions | undefined;
  /** Observes each call to database and storage, to measure or trace them. */
  readonly observer?: CallObserver;
  readonly log?: Logger;
  readonly clock?: Clock;
}

/** What is counted on request only. */
export interface MeasureOptions {
  /** How many repositories are counted by themselves; none when absent. */
  readonly repositories?: number;
}

/** What a registry may be given anew while it is open. */
export interface LiveRegistryOptions extends Pick<
  RegistryOptions,
  "deleteEnabled" | "readOnly" | "readLimits" | "limits"
> {
  /** The rules of authorization; without effect where there are none to replace. */
  readonly policies?: readonly Rule[] | undefined;
}

/** A registry that is open, with its maintenance. */
export interface Registry extends Maintenance, Pick<Access, "explain">, AsyncDisposable {
  readonly namespace: Namespace;
  /** The users in its database, and what robots log in with; whether they count is for the authenticator to say. */
  readonly users: Users;
  readonly robots: Robots;
  /** What it has counted so far. */
  readonly metrics: Metrics;
  /** Where the server counts the requests that it answers; undefined without `measure`. */
  readonly requests: RequestMetrics | undefined;
  /** What `/readyz` says. While it drains, `/readyz` answers 503 and all other requests are served. */
  readonly readiness: Pick<ReadinessWatch, "ask" | "isDraining">;
  /** Answers a request as the server does; it never rejects. */
  fetch(request: Request): Promise<Response>;
  /**
   * Serves on a port, in the clear, on Bun and on Node. Rejects with the reason when the address cannot be listened on. On an
   * address of this machine alone and without `access` it refuses what web pages of other sites make a browser send.
   */
  listen(options?: ListenOptions): Promise<RegistryListener>;
  /**
   * Removes every repository with all that was pushed into it; users, robots and keys stay. Uploads that are under way are
   * refused from then on. One transaction however much there is: for tests and small registries.
   */
  clear(): Promise<void>;
  /** Puts options in force from the next request on; those that are absent have their defaults. */
  reconfigure(options: LiveRegistryOptions): void;
  /** As `fetch`, for a server that writes replies itself. */
  readonly handle: Handler;
  /** Stops listening, then closes the drivers; no request may be running. */
  close(): Promise<void>;
}

/** Of those that have no default. */
const ABSENT_LIMITS: Partial<Record<keyof RegistryLimits, undefined>> = {
  allowsUrl: undefined,
  mayBeMissing: undefined,
  classes: undefined,
};

/** Opens a registry. The caller closes it, by `close` or `await using`. */
export async function createRegistry(options: RegistryOptions): Promise<Registry> {
  const { log = silentLogger(), signaturesEnabled = false } = options;
  const metrics = new Metrics(VERSION);
  const { measure = false } = options;
  const requests = measure === false ? undefined : new RequestMetrics(metrics, measure === true ? {} : measure);
  const {
    blobs: store,
    metadata: engine,
    identity,
    tree,
    adopts = false,
  } = await openDrivers(options.storage, log, observerOfAll([requests && metrics.calls, options.observer]));
  const clock = options.clock ?? engine.clock ?? systemClock;
  const rules = { ...DEFAULT_RULES, ...options.collection };
  const events = createEvents(options.events, options.audit, clock.now());
  const { recorder } = events;
  const metadata: Metadata = new Metadata(engine, clock, { periods: rules, quotas: options.quotas, recorder });
  if (options.quotas) {
    metadata.quotas.count().catch((error: unknown) => {
      log.error({ err: error }, "quotas could not be counted in the background: the next push below one begins again");
    });
  }
  const closing = async (reason: unknown): Promise<never> => {
    await Promise.all([store.close(), metadata.close()]);
    throw reason;
  };
  if (identity) await confirmIdentity(identity, metadata).catch(closing);
  const cause = options.operator === undefined ? undefined : { who: options.operator, rule: OPERATOR_RULE };
  const backend = createBackend({ store, metadata, clock, limits: options.limits, rules, cause });
  const adoption = tree && (await openAdoption(backend, tree, { mayBegin: adopts }, log).catch(closing));
  const namespace = new LocalNamespace(backend, adoption);
  const origins = new Origins(options.origin);
  const onLogin = requests && metrics.countLogin.bind(metrics);
  const parts = { metadata, clock, log, origins, signaturesEnabled, onLogin };
  // Before anything is recorded: an endpoint that is new here begins behind what there is now.
  await metadata.outbox.begin(events.endpoints.map(({ name }) => name)).catch(closing);
  const access = await openAccess(options.access, parts).catch(closing);
  const { authorizer, tokens } = access;
  const liveOptionsOf = ({ deleteEnabled = true, readOnly = false, readLimits }: LiveRegistryOptions): LiveOptions => ({
    deleteEnabled,
    readOnly,
    readLimits: createReadLimits(readLimits, clock),
  });
  const live = liveOptionsOf(options);
  const readiness = new ReadinessWatch({ check: () => namespace.checkReady(), log });
  const commonHeaders = new CommonHeaders(options.headers);
  const { crossOrigin } = commonHeaders;
  const userAgent = `stowage/${VERSION}`;
  const maintenance = createMaintenance(backend, { log, metrics }, { adoption, tree, events, userAgent });
  const collections = new CollectionRuns(maintenance, () => clock.now(), log);
  const [users, robots] = [new Users(metadata), new Robots(metadata, clock)];
  let inventory: Promise<Inventory> | undefined;
  const serverOptions: ServerOptions = {
    live,
    maxCatalogPage: options.pages?.catalog ?? LIMITS.maxCatalogPage,
    maxTagsPage: options.pages?.tags ?? LIMITS.maxTagsPage,
    signaturesEnabled,
    renewsManifests: rules.untagged,
    origins,
    commonHeaders,
    authorizer,
    asksForLogin: options.access !== undefined,
    tokens,
    clock,
    recordsChanges: recorder !== undefined,
    pulls: events.pulls,
    events: events.forReaders ? metadata.outbox : undefined,
    api: {
      async whenAdopted(name) {
        await adoption?.addRepository(name);
      },
      inventory: () => (inventory ??= loadInventory(backend, namespace)),
      async deletions(name, by) {
        const loaded = await import("./registry/inventory/deletions.ts");
        return new loaded.Deletions({ ...backend, cause: by }, name);
      },
      async deleteRepository(name, by, { dryRun }) {
        const immutableTags = backend.limits.immutableTagsOf(name);
        if (!dryRun) return await metadata.repositories.delete(name, by, immutableTags);
        const immutable = await metadata.repositories.immutableTag(name, immutableTags);
        return immutable === undefined || { immutable };
      },
      maintenance,
      collections,
      users,
      robots,
      explain: (...asked) => access.explain(...asked),
      quotas: options.quotas ?? [],
    },
    onChange: options.onChange,
    readiness,
    auditFails: options.auditFails,
    measured: requests && { metrics, requests },
    notReady: options.notReady,
    version: VERSION,
  };
  const handlerThatRefuses = (refused: OtherSitesOptions["refused"] | undefined): Handler => {
    const otherSites = refused && new OtherSites({ refused, host: options.origin?.host, crossOrigin });
    return createHandler({ namespace, options: { ...serverOptions, otherSites }, log });
  };
  const handle = handlerThatRefuses(options.otherSites?.refused ?? (options.access && "marked pages"));
  // Its cache is its own: what `fetch` was answered under any name is not for clients on the network.
  let loopbackHandle: Handler | undefined;
  const listeners = new Set<RegistryListener>();
  const close = async (): Promise<void> => {
    readiness[Symbol.dispose]();
    collections[Symbol.dispose]();
    await Promise.all(Array.from(listeners, (listener) => listener.close()));
    await backend.claims[Symbol.asyncDispose]();
    await store.close();
    await metadata.close();
  };
  return {
    namespace,
    users,
    robots,
    metrics,
    requests,
    readiness,
    handle,
    async listen({ hostname = "127.0.0.1", port = 0, otherSites = "refused" } = {}) {
      const isOpen = options.access === undefined && options.otherSites === undefined;
      const refuses = isOpen && otherSites === "refused" && isLoopbackHost(hostname);
      const handler = refuses ? (loopbackHandle ??= handlerThatRefuses("names and pages")) : handle;
      const listener = await listenOnRuntime(handler, log, { hostname, port });
      listeners.add(listener);
      return listener;
    },
    async clear() {
      await metadata.repositories.removeAll();
      await metadata.adoptions.end(); // nothing comes back from a tree that is being adopted
      await adoption?.refresh();
      await emptyTrash(backend, () => undefined);
    },
    reconfigure(changed) {
      Object.assign(live, liveOptionsOf(changed));
      Object.assign(backend.limits, DEFAULT_LIMITS, ABSENT_LIMITS, changed.limits);
      access.replacePolicies?.(changed.policies);
    },
    fetch: async (request) =>
      toResponse(await openedOrRefused(await handle(request), request.method, log), request.method, streamFile),
    ...maintenance,
    explain: (...asked) => access.explain(...asked),
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** Loaded when a request needs it, because most servers are never asked. */
async function loadInventory(backend: Backend, namespace: Namespace): Promise<Inventory> {
  const loaded = await import("./registry/inventory/inventory.ts");
  return new loaded.Inventory(backend, namespace);
}
