/** Looks into a data folder from outside. */
import { Database } from "bun:sqlite";
import { readdir } from "node:fs/promises";
import { join, relative } from "node:path";

/** Every file in the folder but the database, its log and its lock; paths inside the folder, in order. */
export async function filesBesideDatabase(dataDir: string): Promise<readonly string[]> {
  const entries = await readdir(dataDir, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(dataDir, join(entry.parentPath, entry.name)))
    .filter((path) => !/^(?:registry|lock)\.db(?:-wal|-shm|-journal)?$/.test(path))
    .toSorted();
}

type FolderRow = Readonly<Record<string, string | number | Uint8Array | null>>;

/** Runs one statement on the database of a folder that servers may be using, and gives its rows. */
export function queryFolder(dataDir: string, text: string, ...values: (string | number)[]): readonly FolderRow[] {
  const database = new Database(join(dataDir, "registry.db"), { readwrite: true, create: false });
  try {
    database.run("pragma busy_timeout = 10000");
    return database.query<FolderRow, (string | number)[]>(text).all(...values);
  } finally {
    database.close();
  }
}

/**
 * Ends the claims of writers that died with their process, which end by themselves after a minute. Only while no upload is
 * being written.
 */
export function endClaims(dataDir: string): void {
  queryFolder(dataDir, "update upload set claimed_until = 1 where claimed_until is not null");
}
