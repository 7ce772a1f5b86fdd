/** Chooses the drivers and puts a registry together: for the program and for programs that embed it. */
import { OPEN_DECISION } from "./auth/authorization.ts";
import type { ExternalTokens } from "./auth/external-tokens.ts";
import type { Action, Authenticator, Identity } from "./auth/identity.ts";
import { Policy } from "./auth/policy.ts";
import type { Decision, Rule } from "./auth/policy.ts";
import { Robots } from "./auth/robots.ts";
import type { AccountVerifier } from "./auth/verifier.ts";
import { Users } from "./auth/users.ts";
import { systemClock } from "./lib/clock.ts";
import { folderPath } from "./lib/folder-path.ts";
import type { Clock } from "./lib/clock.ts";
import { isLoopbackHost } from "./lib/network.ts";
import { DEFAULT_RULES } from "./metadata/database.ts";
import type { CollectionRules } from "./metadata/database.ts";
import type { Quota } from "./metadata/database.ts";
import { Metadata } from "./metadata/metadata.ts";
import type { SqlEngine } from "./metadata/sql.ts";
import type { RepositoryName } from "./oci/repository-name.ts";
import { silentLogger } from "./observe/logger.ts";
import type { Logger } from "./observe/logger.ts";
import { Metrics } from "./observe/metrics.ts";
import { createBackend } from "./registry/backend.ts";
import type { RegistryLimits } from "./registry/backend.ts";
import { emptyTrash } from "./registry/gc/trash.ts";
import { createMaintenance } from "./registry/maintenance.ts";
import type { Maintenance } from "./registry/maintenance.ts";
import { LocalNamespace } from "./registry/namespace.ts";
import type { Namespace } from "./registry/namespace.ts";
import type { ChangeListener } from "./server/change-event.ts";
import type { Challenge } from "./server/access/challenge.ts";
import type { ServerOptions } from "./server/context.ts";
import { Authentication } from "./auth/authentication.ts";
import { OPEN_ACCESS, SessionAuthorizer } from "./server/access/authorize.ts";
import { CommonHeaders } from "./server/http/common-headers.ts";
import type { ConfiguredHeaders } from "./server/http/common-headers.ts";
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
import { streamFile, toResponse } from "./server/http/reply.ts";
import { TOKEN_PATH } from "./server/routes.ts";
import { SIGNATURES_HEADER } from "./server/v2/signatures.ts";
import type { BlobStore } from "./storage/blob-store.ts";
import { VERSION } from "./version.ts";

export interface RegistryOptions {
  /**
   * Where everything is kept: in memory, gone with the process and good on any runtime, or in a folder, as files and a
   * SQLite database (on Bun).
   */
  readonly storage:
    | "memory"
    | {
        readonly folder: string;
        /** Whether no other process ever opens the folder: allows file systems over a network. */
        readonly singleProcess?: boolean;
        /** Whether large uploads are written past the page cache, where the file system allows it; false when absent. */
        readonly directWrites?: boolean;
        /** Whether a folder that holds no registry is refused; it is made when absent. */
        readonly mustExist?: boolean;
      };
  /** Whether clients may delete; true when absent. */
  readonly deleteEnabled?: boolean;
  /** Whether signatures beside manifests are shown and taken over HTTP; false when absent. */
  readonly signaturesEnabled?: boolean;
  /** Where requests come from, and what clients call this registry. */
  readonly origin?: OriginOptions;
  /**
   * For a registry that listens to its machine alone and asks for no login: whether it refuses what web pages of other sites
   * make a browser there send, and names that are not its own. When absent, `listen` does, and `fetch` serves them.
   */
  readonly otherSites?: Pick<OtherSitesOptions, "refused"> | undefined;
  /** Headers that every reply has besides the registry's own, which win; CORS is obeyed when they say it. */
  readonly headers?: ConfiguredHeaders;
  /** Who may do what; everybody everything when absent. */
  readonly access?: AccessOptions;
  readonly limits?: Partial<RegistryLimits>;
  /** How much may be read in a minute; without bounds when absent. */
  readonly readLimits?: ReadLimitOptions;
  /** How much may lie below prefixes of names. */
  readonly quotas?: readonly Quota[];
  /** Is told of each change that a client makes over HTTP, once it is durable. */
  readonly onChange?: ChangeListener;
  /** Whether what `onChange` or the log is told of changes is being lost: then `/readyz` answers 503. */
  readonly auditFails?: () => boolean;
  /** What collection keeps, and for how long. */
  readonly collection?: Partial<CollectionRules>;
  readonly log?: Logger;
  readonly clock?: Clock;
}

/** How the registry knows who somebody is: by itself, or by the tokens of another server. */
export type AccessOptions =
  | {
      readonly kind: "accounts";
      /** Makes what proves who somebody is, which may look into the registry's own facts. */
      readonly authenticator: (parts: {
        readonly metadata: Metadata;
        readonly clock: Clock;
        readonly log: Logger;
      }) => Promise<Authenticator | AccountVerifier> | Authenticator | AccountVerifier;
      /** Whether clients that ask for it get a token that lives for a year, and is exchanged for others; false when absent. */
      readonly refreshTokens?: boolean;
      /** What is allowed; when absent, everything to whoever proves to be somebody. */
      readonly policies?: readonly Rule[];
      /** Clients are asked for a name and a password, in this realm, instead of for a token. */
      readonly basicRealm?: string;
    }
  | {
      readonly kind: "tokens";
      readonly tokens: (parts: {
        readonly clock: Clock;
        readonly log: Logger;
      }) => Promise<ExternalTokens> | ExternalTokens;
    };

/** A registry that is open, with its maintenance. */
export interface Registry extends Maintenance, AsyncDisposable {
  readonly namespace: Namespace;
  /** The users in its database, and what robots log in with; whether they count is for the authenticator to say. */
  readonly users: Users;
  readonly robots: Robots;
  /** What it has counted so far. */
  readonly metrics: Metrics;
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
  /** As `fetch`, for a server that writes replies itself. */
  readonly handle: Handler;
  /**
   * Whether somebody may do something, and which rule decides. `name` is as in a rule: `alice`, `robot:ci`, `anonymous`.
   * Undefined when nobody of that name is known here.
   */
  explain(name: string, action: Action, repository: RepositoryName): Promise<Decision | undefined>;
  /** Stops listening, then closes the drivers; no request may be running. */
  close(): Promise<void>;
}

/** Opens a registry. Whoever opens it closes it, by `close` or `await using`. */
export async function createRegistry(options: RegistryOptions): Promise<Registry> {
  const { clock = systemClock, log = silentLogger(), deleteEnabled = true, signaturesEnabled = false } = options;
  const [store, engine] = await openDrivers(options.storage);
  const rules = { ...DEFAULT_RULES, ...options.collection };
  const metadata: Metadata = new Metadata(engine, clock, { periods: rules, quotas: options.quotas });
  if (options.quotas) {
    metadata.quotas.count().catch((error: unknown) => {
      log.error({ err: error }, "quotas could not be counted in the background: pushes count them");
    });
  }
  const backend = createBackend({ store, metadata, clock, limits: options.limits, rules });
  const namespace = new LocalNamespace(backend);
  const origins = new Origins(options.origin);
  const parts = { metadata, clock, log, origins, signaturesEnabled };
  const access = await openAccess(options.access, parts).catch(async (error: unknown) => {
    await metadata.close();
    throw error;
  });
  const { authorizer, tokens } = access;
  const readLimits = createReadLimits(options.readLimits, clock);
  const commonHeaders = new CommonHeaders(options.headers);
  const { crossOrigin } = commonHeaders;
  const serverOptions: ServerOptions = {
    deleteEnabled,
    signaturesEnabled,
    renewsManifests: rules.untagged,
    origins,
    commonHeaders,
    readLimits,
    authorizer,
    asksForLogin: options.access !== undefined,
    tokens,
    clock,
    onChange: options.onChange,
    auditFails: options.auditFails,
    version: VERSION,
  };
  const handlerThatRefuses = (refused: OtherSitesOptions["refused"] | undefined): Handler => {
    const otherSites = refused && new OtherSites({ refused, host: options.origin?.host, crossOrigin });
    return createHandler({ namespace, options: { ...serverOptions, otherSites }, log });
  };
  const handle = handlerThatRefuses(options.otherSites?.refused);
  // Its cache is its own: what `fetch` was answered under any name is not for those who come over the network.
  let loopbackHandle: Handler | undefined;
  const metrics = new Metrics(VERSION);
  const listeners = new Set<RegistryListener>();
  const close = async (): Promise<void> => {
    await Promise.all(Array.from(listeners, (listener) => listener.close()));
    await backend.claims[Symbol.asyncDispose]();
    await metadata.close();
  };
  return {
    namespace,
    users: new Users(metadata),
    robots: new Robots(metadata, clock),
    metrics,
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
      await emptyTrash(backend, () => undefined);
    },
    fetch: async (request) => toResponse(await handle(request), request.method, streamFile),
    ...createMaintenance(backend, { log, metrics }),
    explain: access.explain,
    close,
    [Symbol.asyncDispose]: close,
  };
}

interface AccessParts {
  readonly metadata: Metadata;
  readonly clock: Clock;
  readonly log: Logger;
  readonly origins: Origins;
  readonly signaturesEnabled: boolean;
}

async function openAccess(
  access: AccessOptions | undefined,
  { metadata, clock, log, origins, signaturesEnabled }: AccessParts,
): Promise<Pick<ServerOptions, "authorizer" | "tokens"> & Pick<Registry, "explain">> {
  if (!access) return { authorizer: OPEN_ACCESS, explain: async () => OPEN_DECISION };
  const baseHeaders = signaturesEnabled ? SIGNATURES_HEADER : {};
  if (access.kind === "tokens") {
    const tokens = await access.tokens({ clock, log });
    const challenge = { kind: "bearer", service: tokens.service, realm: tokens.realm, origins } as const;
    const authentication = new Authentication({
      verifiers: [tokens],
      policy: new Policy(),
      tokensDecide: true,
      clock,
    });
    return {
      authorizer: new SessionAuthorizer({ authentication, challenge, baseHeaders }),
      explain: async () => ({ allowed: false, by: "the token server alone, which decides that by itself" }),
    };
  }
  // Loaded when somebody is asked who they are, and not before: what signs and verifies takes its time to load.
  const { EmbeddedAccounts } = await import("./auth/embedded-accounts.ts");
  const { SigningKeys } = await import("./auth/signing-keys.ts");
  const { SERVICE, TokenService } = await import("./auth/token-service.ts");
  const policy = new Policy(access.policies);
  const given = await access.authenticator({ metadata, clock, log });
  const accounts: AccountVerifier = "authenticate" in given ? new EmbeddedAccounts(given) : given;
  const service = new TokenService({ keys: new SigningKeys(metadata, clock), policy, accounts, clock });
  const authentication = new Authentication({ verifiers: [accounts, service], policy, tokensDecide: false, clock });
  const challenge: Challenge =
    access.basicRealm === undefined
      ? { kind: "bearer", service: SERVICE, realm: `${origins.prefix}${TOKEN_PATH}`, origins }
      : { kind: "basic", realm: access.basicRealm };
  return {
    authorizer: new SessionAuthorizer({ authentication, policy, challenge, baseHeaders }),
    tokens: { service, authentication, refreshTokens: access.refreshTokens ?? false },
    async explain(name, action, repository) {
      if (name === "anonymous") return policy.decide(undefined, action, repository);
      const principal = await accounts.find?.(...accountOf(name));
      return principal && policy.decide(principal, action, repository);
    },
  };
}

/** `alice` and `robot:ci`, as rules name them. */
function accountOf(name: string): [kind: Identity["kind"], name: string] {
  if (name.startsWith("robot:")) return ["robot", name.slice("robot:".length)];
  return ["user", name.startsWith("user:") ? name.slice("user:".length) : name];
}

/** Drivers are chosen here and nowhere else; what is not chosen is not loaded. */
async function openDrivers(storage: RegistryOptions["storage"]): Promise<[BlobStore, SqlEngine]> {
  if (storage === "memory") {
    const { MemoryBlobStore } = await import("./storage/memory/memory-blob-store.ts");
    const { MemoryEngine } = await import("./metadata/memory/memory-engine.ts");
    return [new MemoryBlobStore(), await MemoryEngine.open()];
  }
  const { openDataFolder } = await import("./metadata/sqlite/data-folder.ts");
  const { BLOB_FOLDERS } = await import("./storage/filesystem/layout.ts");
  const { FilesystemBlobStore } = await import("./storage/filesystem/filesystem-blob-store.ts");
  const folder = folderPath(storage.folder);
  const engine = await openDataFolder(folder, {
    alone: storage.singleProcess ?? false,
    mustExist: storage.mustExist ?? false,
    blobFolders: BLOB_FOLDERS,
  });
  return [await FilesystemBlobStore.open(folder, { directWrites: storage.directWrites ?? false }), engine];
}
