/** A registry that is copied while it serves: its database as of one moment, and the bytes of its blobs. */
import { join } from "node:path";
import type { Settings } from "../config/schema.ts";
import type { Registry } from "../create-registry.ts";
import { folderPath } from "../lib/folder-path.ts";
import { pause } from "../lib/pause.ts";
import { DATABASE } from "../metadata/database-file.ts";
import { OciError } from "../oci/error.ts";
import type { HeldLease } from "../registry/gc/lease.ts";
import type { BlobStore } from "../storage/blob-store.ts";
import { silentLogger } from "../observe/logger.ts";
import { openDrivers } from "../open-drivers.ts";
import { explained, openRegistry, storageOf } from "./open-registry.ts";
import { printError } from "./print.ts";
import { recordOperation } from "./record-operation.ts";

export interface SnapshotSteps {
  /** Called with how much is copied so far, such as `manifest: 1,000 rows`. */
  readonly onStep: (done: string) => void;
  readonly signal: AbortSignal;
}

export interface RegistrySource extends AsyncDisposable {
  readonly blobs: Pick<BlobStore, "read" | "stat">;
  /** Whether clients push nothing to it. */
  readonly isReadOnly: boolean;
  /** What a person does when it is copied. */
  readonly next: string;
  /** Until it is disposed of, or lost, the source removes no bytes that are recorded now. */
  holdUnlinking(): Promise<HeldLease>;
  /** Records in the audit of the source that it was copied. */
  recordMigration(where: string): Promise<void>;
  /**
   * Makes a SQLite database at `path` out of all that is recorded at one moment, whatever the database of the registry is. Returns
   * what says whether nothing has changed since that readers of the registry could see.
   */
  takeSnapshot(path: string, steps: SnapshotSteps): Promise<() => Promise<boolean>>;
}

/** A source that servers use. */
export interface LiveSource extends RegistrySource {
  readonly registry: Registry;
}

/** Opens a registry that is there. Throws `CommandError` when it cannot be opened. */
export async function openSource(settings: Settings): Promise<LiveSource> {
  const storage = storageOf(settings, { mustExist: true, adopts: false });
  await using closing = new AsyncDisposableStack();
  // Before the registry, because it is to be disposed of after it.
  const { LiveDatabase } = await import("../metadata/sqlite/snapshot.ts");
  const live = storage.database ? undefined : closing.use(new LiveDatabase(folderPath(storage.folder)));
  const drivers = await openDrivers(storage, silentLogger()).catch(explained);
  const registry = closing.use(await openRegistry(settings, silentLogger(), { drivers }));
  const opened = closing.move();
  return {
    registry,
    blobs: drivers.blobs,
    isReadOnly: settings.storage.maintenance.readonly.enabled,
    next: "Start the servers with these settings, and end those of the source, which stays as it is.",
    holdUnlinking: () => holdUnlinking(registry),
    recordMigration: (where) => recordOperation(registry, "migrate", where).catch(() => undefined),
    async takeSnapshot(path, { onStep, signal }) {
      const { metadata: engine } = drivers;
      if (live) {
        const { momentOf, openCopy } = await import("../metadata/sqlite/snapshot.ts");
        await live.copyTo(path, { signal, onStep: (bytes) => onStep(`${Math.round(bytes / 1024 ** 2)} MiB`) });
        const copy = await openCopy(path);
        const moment = await copy.read(momentOf);
        await copy.close();
        return async () => (await engine.read(momentOf)) === moment;
      }
      const { CopyFile } = await import("../metadata/sqlite/copy-file.ts");
      const { copyFromPostgres, isUnchangedSince } = await import("../metadata/postgres/database-copy.ts");
      using file = await CopyFile.create(path);
      const onRows = (table: string, rows: number): void => onStep(`${table}: ${rows.toLocaleString("en")} rows`);
      const moment = await file.fill(() => copyFromPostgres(engine, file, { onRows, signal }));
      return () => isUnchangedSince(engine, moment);
    },
    [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
  };
}

/** The lease of a process that died ends after a minute. */
const LEASE_TRIES = 70;
const LEASE_TRY_MS = 1000;

/** Waits for the lease of a run that was killed, or of a backup. */
async function holdUnlinking(registry: Registry): Promise<HeldLease> {
  for (let tries = 0; ; tries++) {
    try {
      return await registry.holdUnlinking();
    } catch (error) {
      if (!(error instanceof OciError) || error.code !== "UNAVAILABLE" || tries === LEASE_TRIES) throw error;
      if (tries === 0) {
        printError(
          "stowage: waiting for another backup or migration of the source, or for the lease of one that was interrupted\n",
        );
      }
      await pause(LEASE_TRY_MS);
    }
  }
}

/** Opens a backup, which is only read. */
export async function openBackup(folder: string): Promise<RegistrySource> {
  const { FilesystemBlobStore } = await import("../storage/filesystem/filesystem-blob-store.ts");
  const { copyDatabase } = await import("../metadata/sqlite/snapshot.ts");
  return {
    blobs: FilesystemBlobStore.reading(folder),
    isReadOnly: true,
    next: "Start the servers with these settings.",
    holdUnlinking: async () => ({
      lost: new AbortController().signal,
      confirm: async () => true,
      [Symbol.asyncDispose]: async () => {},
    }),
    recordMigration: async () => {},
    async takeSnapshot(path) {
      await copyDatabase(join(folder, DATABASE), path);
      return async () => true;
    },
    [Symbol.asyncDispose]: async () => {},
  };
}
