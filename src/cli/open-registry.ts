/** Opens the registry that the settings describe. */
import type { Settings } from "../config/schema.ts";
import { createRegistry } from "../create-registry.ts";
import type { Drivers, FolderStorage } from "../open-drivers.ts";
import type { LiveRegistryOptions, Registry, RegistryOptions } from "../create-registry.ts";
import { isLoopbackHost } from "../lib/network.ts";
import type { PostgresSettings } from "../metadata/postgres-settings.ts";
import type { CallObserver } from "../observe/calls.ts";
import type { Logger } from "../observe/logger.ts";
import type { Endpoint } from "../registry/events/endpoint.ts";
import { accessOf, asksForLogin, tagProtectionOf } from "./access.ts";
import type { OriginOptions } from "../server/http/origin.ts";
import type { RegistryLimits } from "../registry/backend.ts";
import type { ReadLimitOptions } from "../server/access/read-limits.ts";
import { s3OptionsOf } from "./s3-storage.ts";
import { addressOf } from "./address.ts";
import { CommandError } from "./command-error.ts";
import { operator } from "./record-operation.ts";
import { urlRuleOf } from "./url-rule.ts";

/** Errors whose message is meant for the person who starts the program. */
const EXPLAINED: ReadonlySet<string> = new Set([
  "AdoptionError",
  "DataFolderError",
  "FolderPathError",
  "PostgresAddressError",
  "S3Error",
  "SchemaError",
  "StoreIdentityError",
  "WireError",
]);

/** Stands for an upload that never expires. */
const NEVER_MS = 100 * 365 * 86_400_000;

export interface OpenOptions {
  /** Whether a folder that holds no registry is refused: a mistyped path must not look like an empty registry. */
  readonly mustExist?: boolean;
  /** Whether the settings of who may do what are in force: commands are the operator's, who may do everything. */
  readonly serving?: boolean;
  /** Whether the quotas of the settings apply, and are counted; as `serving` when absent. */
  readonly quotas?: boolean;
  /** What the registry is opened on, when the caller has opened it; it is closed with the registry. */
  readonly drivers?: Drivers | undefined;
  /** Whether lines of the audit are lost now: then the registry is not ready. */
  readonly auditFails?: () => boolean;
  /** Observes calls to database and storage. */
  readonly observer?: CallObserver | undefined;
  /** Why it should get no requests now; undefined while it should. */
  readonly notReady?: () => string | undefined;
}

/** Where the settings say that the registry is. */
export function storageOf(
  settings: Settings,
  { mustExist, adopts }: { mustExist: boolean; adopts: boolean },
): FolderStorage {
  const { filesystem } = settings.storage;
  return {
    folder: filesystem.rootdirectory,
    singleProcess: filesystem.singleprocess,
    directWrites: filesystem.directwrites,
    database: databaseOf(settings),
    mustExist,
    s3: s3OptionsOf(settings),
    adopts,
  };
}

export async function openRegistry(
  settings: Settings,
  log: Logger,
  { mustExist = false, serving = false, quotas = serving, drivers, auditFails, notReady, observer }: OpenOptions = {},
): Promise<Registry> {
  const { lease, grace, undo, fresh, untagged, history } = settings.gc;
  const access = serving ? accessOf(settings) : undefined;
  return await createRegistry({
    storage: drivers ?? storageOf(settings, { mustExist, adopts: serving && !mustExist }),
    ...(await liveOptionsOf(settings, { serving })),
    pages: { catalog: settings.catalog.maxentries, tags: settings.tags.maxtags },
    signaturesEnabled: settings.signatures.enabled,
    origin: originOf(settings),
    headers: settings.http.headers,
    otherSites: otherSitesOf(settings),
    ...(access ? { access } : {}),
    ...(auditFails ? { auditFails } : {}),
    ...(observer ? { observer } : {}),
    ...(notReady ? { notReady } : {}),
    ...(serving ? { measure: measureOf(settings) } : {}),
    ...(quotas ? { quotas: settings.quotas } : {}),
    ...eventsOf(settings),
    ...(serving ? {} : { operator: operator() }),
    collection: {
      leaseMs: lease,
      graceMs: grace,
      undoMs: undo,
      freshMs: fresh,
      untagged,
      historyMs: history.age,
      historyEntries: history.entries,
    },
    log,
  }).catch(explained);
}

/** Of what the settings say, that which may change while the server runs. Throws `CommandError` when it cannot be. */
export async function liveOptionsOf(
  settings: Settings,
  { serving }: { readonly serving: boolean },
): Promise<Omit<LiveRegistryOptions, "policies">> {
  const { inline, maintenance } = settings.storage;
  const { enabled, dryrun, age } = maintenance.uploadpurging;
  const { manifests, disabled } = settings.validation;
  return {
    deleteEnabled: settings.storage.delete.enabled,
    readOnly: maintenance.readonly.enabled,
    limits: {
      inlineBytes: inline,
      sparse: manifests.sparse,
      strict: manifests.strict && !disabled,
      schema1: settings.compatibility.schema1.enabled,
      openUploads: settings.limits.uploads,
      descriptors: settings.limits.descriptors,
      uploadExpiryMs: enabled && !dryrun ? age : NEVER_MS,
      ...(serving ? { ...tagProtectionOf(settings), ...(await urlRuleOf(settings)), ...classesOf(settings) } : {}),
      ...platformRuleOf(settings),
    },
    ...(serving ? { readLimits: readLimitsOf(settings) } : {}),
  };
}

function classesOf({ policy: { repository } }: Settings): Pick<RegistryLimits, "classes"> {
  return repository.classes.length > 0 ? { classes: repository.classes } : {};
}

/** Which manifests of an index may be missing, as distribution has it. */
function platformRuleOf({ validation }: Settings): Pick<RegistryLimits, "mayBeMissing"> {
  const { platforms, platformlist } = validation.manifests.indexes;
  if (validation.disabled || platforms === "all") return {};
  if (platforms === "none") return { mayBeMissing: () => true };
  return {
    mayBeMissing: (platform) =>
      !platformlist.some(({ architecture, os }) => platform?.architecture === architecture && platform.os === os),
  };
}

export function databaseOf({ database }: Settings): PostgresSettings | undefined {
  const { url, passwordfile, connections, timeout, preparedstatements } = database;
  if (url === undefined) return undefined;
  return {
    url,
    environment: process.env,
    passwordFile: passwordfile,
    connections,
    timeoutMs: timeout,
    preparedStatements: preparedstatements,
  };
}

function originOf({ http }: Settings): OriginOptions {
  const host = http.host === undefined ? undefined : new URL(http.host).origin;
  return { trustedProxies: http.trustedproxies, host, prefix: http.prefix };
}

/** The rule applies to loopback addresses without login only. */
function otherSitesOf(settings: Settings): RegistryOptions["otherSites"] {
  const { addr, tls } = settings.http;
  const address = addressOf(addr);
  if (address.kind === "unix" || !isLoopbackHost(address.hostname) || asksForLogin(settings)) return undefined;
  // A browser makes no connection to a name that the certificate does not have.
  return { refused: tls.certificate === undefined && tls.letsencrypt === undefined ? "names and pages" : "pages" };
}

/** False, so that nothing is counted, unless metrics are served. */
function measureOf({ http: { debug } }: Settings): RegistryOptions["measure"] {
  const { enabled, repositories } = debug.prometheus;
  return debug.addr !== undefined && enabled && { repositories };
}

/** Commands change things too: what they change is recorded as what clients change. */
function eventsOf({ notifications, events, audit, http }: Settings): Pick<RegistryOptions, "events" | "audit"> {
  const endpoints = notifications.endpoints.filter(({ disabled }) => !disabled).map(endpointOf);
  const { keep: readersMs, rows, bytes, deadletters: deadLetters } = events;
  const address = addressOf(http.addr);
  const isTelling = endpoints.length > 0 || readersMs > 0;
  return {
    ...(isTelling && {
      events: {
        endpoints,
        includeReferences: notifications.events.includereferences,
        readersMs,
        rows,
        bytes,
        deadLetters,
        port: address.kind === "unix" ? undefined : address.port,
        base: http.host === undefined ? "" : `${new URL(http.host).origin}${http.prefix}`,
      },
    }),
    ...(audit.enabled && { audit: { ageMs: audit.age, rows: audit.rows } }),
  };
}

function endpointOf(settings: Settings["notifications"]["endpoints"][number]): Endpoint {
  const { name, url, headers, timeout, threshold, backoff, attempts, pushes, heads, envelope, secret } = settings;
  const { ignoredmediatypes, ignore } = settings;
  return {
    name,
    url,
    headers,
    timeoutMs: timeout,
    threshold,
    backoffMs: backoff,
    attempts,
    ignoredMediaTypes: [...ignoredmediatypes, ...ignore.mediatypes],
    ignoredActions: ignore.actions,
    pushes,
    heads,
    envelope,
    secret,
  };
}

function readLimitsOf({ limits: { reads } }: Settings): ReadLimitOptions {
  return { perMinute: reads.perminute, anonymousPerMinute: reads.anonymousperminute };
}

/** Passes an error on as one line for a person when it has one. */
export function explained(error: unknown): never {
  if (error instanceof Error && EXPLAINED.has(error.name)) throw new CommandError(error.message, { cause: error });
  throw error;
}
