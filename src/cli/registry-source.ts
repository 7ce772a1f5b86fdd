/** A registry that is copied while it serves: its database as of one moment, and the bytes of its blobs. */
import type { Settings } from "../config/schema.ts";
import type { Registry } from "../create-registry.ts";
import { folderPath } from "../lib/folder-path.ts";
import { silentLogger } from "../observe/logger.ts";
import { openDrivers } from "../open-drivers.ts";
import type { Drivers } from "../open-drivers.ts";
import { explained, openRegistry, storageOf } from "./open-registry.ts";

export interface SnapshotSteps {
  /** Called with how much is copied so far, such as `manifest: 1,000 rows`. */
  readonly onStep: (done: string) => void;
  readonly signal: AbortSignal;
}

export interface RegistrySource extends AsyncDisposable {
  readonly registry: Registry;
  readonly drivers: Drivers;
  /**
   * Makes a SQLite database at `path` out of all that is recorded at one moment, whatever the database of the registry is. Returns
   * what says whether nothing has changed since that readers of the registry could see.
   */
  takeSnapshot(path: string, steps: SnapshotSteps): Promise<() => Promise<boolean>>;
}

/** Opens a registry that is there. Throws `CommandError` when it cannot be opened. */
export async function openSource(settings: Settings): Promise<RegistrySource> {
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
    drivers,
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
