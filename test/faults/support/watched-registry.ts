/** A registry in a real folder and on a real socket, whose drivers are watched. */
import { systemClock } from "../../../src/lib/clock.ts";
import { DEFAULT_RULES } from "../../../src/metadata/database.ts";
import { Metadata } from "../../../src/metadata/metadata.ts";
import { openDataFolder } from "../../../src/metadata/sqlite/data-folder.ts";
import { silentLogger } from "../../../src/observe/logger.ts";
import { DEFAULT_LIMITS, createBackend } from "../../../src/registry/backend.ts";
import { check } from "../../../src/registry/check.ts";
import type { Finding } from "../../../src/registry/check.ts";
import { collectAll } from "../../../src/registry/gc/collector.ts";
import { LocalNamespace } from "../../../src/registry/namespace.ts";
import { CommonHeaders } from "../../../src/server/http/common-headers.ts";
import { ReadinessWatch } from "../../../src/registry/readiness.ts";
import { OPEN_ACCESS } from "../../../src/server/access/authorize.ts";
import { LIMITS } from "../../../src/server/http/limits.ts";
import { createHandler } from "../../../src/server/pipeline.ts";
import { listen } from "../../../src/server/listen/listen.ts";
import { Origins } from "../../../src/server/http/origin.ts";
import { FilesystemBlobStore } from "../../../src/storage/filesystem/filesystem-blob-store.ts";
import { watchedEngine, watchedStore } from "./watched-drivers.ts";
import type { Watcher } from "./watched-drivers.ts";

/** A running registry. Disposing it closes it and leaves the folder. */
export interface WatchedRegistry extends AsyncDisposable {
  /** Such as `http://127.0.0.1:40123`, without a slash at the end. */
  readonly url: string;
  /** Moves its clock. */
  later(milliseconds: number): void;
  /** Removes whatever nothing needs and whose time is over, without any grace. */
  collect(): Promise<unknown>;
  /** Reads everything; what is wrong. */
  findings(): Promise<readonly Finding[]>;
  /** The keys of all files of the store. */
  files(): Promise<readonly string[]>;
}

export interface WatchedRegistryOptions {
  readonly inlineBytes?: number;
  readonly watch?: Watcher;
}

export async function openWatchedRegistry(
  folder: string,
  { inlineBytes = DEFAULT_LIMITS.inlineBytes, watch = (_call, make) => make() }: WatchedRegistryOptions = {},
): Promise<WatchedRegistry> {
  let ahead = 0;
  const clock = { now: () => systemClock.now() + ahead };
  const engine = await openDataFolder(folder, { alone: false });
  const files = await FilesystemBlobStore.open(folder);
  const metadata = new Metadata(watchedEngine(engine, watch), clock);
  const backend = createBackend({ store: watchedStore(files, watch), metadata, clock, limits: { inlineBytes } });
  const log = silentLogger();
  const namespace = new LocalNamespace(backend);
  const handle = createHandler({
    namespace,
    options: {
      live: { deleteEnabled: true, readOnly: false, readLimits: undefined },
      maxCatalogPage: LIMITS.maxCatalogPage,
      maxTagsPage: LIMITS.maxTagsPage,
      recordsChanges: false,
      signaturesEnabled: true,
      renewsManifests: false,
      commonHeaders: new CommonHeaders(),
      origins: new Origins(),
      authorizer: OPEN_ACCESS,
      asksForLogin: false,
      clock: systemClock,
      readiness: new ReadinessWatch({ check: () => namespace.checkReady(), log }),
      version: "test",
    },
    log,
  });
  const server = await listen({ kind: "tcp", hostname: "127.0.0.1", port: 0 }, handle, { log });
  return {
    url: server.url,
    later: (milliseconds) => void (ahead += milliseconds),
    collect: () => collectAll(backend, { ...DEFAULT_RULES, leaseMs: 0, graceMs: 0 }),
    findings: () => Array.fromAsync(check(backend, { deep: true, unknownAfterMs: 0 })),
    files: async () => (await Array.fromAsync(files.list())).map(({ key }) => key),
    async [Symbol.asyncDispose]() {
      await server.stop();
      await metadata.close();
    },
  };
}
