/** Looks into a data folder from outside. */
import { Database } from "bun:sqlite";
import { readdir } from "node:fs/promises";
import { join, relative } from "node:path";
import { readableRow, storedValue } from "../../src/metadata/testing/raw-sql.ts";
import { HolderLocks } from "../../src/metadata/sqlite/holder-locks.ts";
import { createRegistry } from "../../src/create-registry.ts";

/** Every file in the folder but the database, its log and the locks; paths inside the folder, in order. */
export async function filesBesideDatabase(dataDir: string): Promise<readonly string[]> {
  const entries = await readdir(dataDir, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(dataDir, join(entry.parentPath, entry.name)))
    .filter((path) => !/^(?:(?:registry|lock)\.db(?:-wal|-shm|-journal)?|holders\/.*)$/.test(path))
    .toSorted();
}

type FolderRow = Readonly<Record<string, string | number | Uint8Array | null>>;

/** Runs one statement on the database of a folder that servers may be using, and gives its rows; digests are texts in both. */
export function queryFolder(dataDir: string, text: string, ...values: (string | number)[]): readonly FolderRow[] {
  const database = new Database(join(dataDir, "registry.db"), { readwrite: true, create: false });
  try {
    database.run("pragma busy_timeout = 10000");
    const found = database.query<FolderRow, (string | number | Uint8Array)[]>(text).all(...values.map(storedValue));
    return found.map(readableRow);
  } finally {
    database.close();
  }
}

/** Leaves an upload as a process does that sleeps while it writes to it: it runs, and its lease has ended. */
export async function leaveToSleeper(dataDir: string, upload: string): Promise<AsyncDisposable> {
  const sleeper = await new HolderLocks(dataDir).announce();
  queryFolder(dataDir, "update upload set claimed_by = ?, part_file = 1 where id = ?", sleeper.id, upload);
  return sleeper;
}

/**
 * Ends the leases of all processes that hold uploads, as they end by themselves when a process sleeps for ten seconds; until
 * it is disposed of, for the processes do not know that it was long.
 */
export function endLeases(dataDir: string): Disposable {
  const holders = queryFolder(dataDir, "select id, until from holder");
  queryFolder(dataDir, "update holder set until = 1");
  return {
    [Symbol.dispose]: () => {
      for (const { id, until } of holders) {
        queryFolder(dataDir, "insert or replace into holder (id, until) values (?, ?)", String(id), Number(until));
      }
    },
  };
}

/** Makes a data folder that holds an empty registry, as a first start of the server does. */
export async function makeDataFolder(dataDir: string): Promise<void> {
  await (await createRegistry({ storage: { folder: dataDir } })).close();
}
