/** The folder that holds a registry: who may use it, and its database. */
import { accessSync, constants, mkdirSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { Connection, sqliteCode } from "./connection.ts";
import { SqliteEngine } from "./sqlite-engine.ts";

/** The folder cannot be used; the message says why and what to do. */
export class DataFolderError extends Error {
  override readonly name = "DataFolderError";
}

/** The file in a data folder that holds all facts. */
export const DATABASE = "registry.db";
const LOCK = "lock.db";

/** File systems over a network, by the numbers in Linux' magic.h: they do not share memory, which SQLite's log needs. */
const NETWORKED: ReadonlyMap<number, string> = new Map([
  [0x6969, "NFS"],
  [0xff534d42, "CIFS"],
  [0xfe534d42, "SMB"],
  [0x01021997, "9p"],
]);

/**
 * Opens the database in `folder`, which is made when it is not there, and holds the folder until it is closed or the
 * process dies: shared with other servers, or `alone`.
 */
export async function openDataFolder(folder: string, options: { readonly alone: boolean }): Promise<SqliteEngine> {
  makeFolder(folder);
  if (!options.alone) refuseNetwork(folder);
  const lock = holdFolder(folder, options);
  try {
    const engine = await SqliteEngine.open(join(folder, DATABASE), options);
    return engine.closingAlso(lock);
  } catch (error) {
    lock.close();
    throw error;
  }
}

/** Only the owner may look: layers and settings can hold secrets. */
function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    accessSync(folder, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new DataFolderError(
      `the data folder ${folder} cannot be written: give this user the right, or choose another folder ` +
        "(REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY)",
      { cause: error },
    );
  }
}

function refuseNetwork(folder: string): void {
  const kind = NETWORKED.get(statfsSync(folder).type);
  if (kind === undefined) return;
  throw new DataFolderError(
    `the data folder ${folder} lies on ${kind}, where two processes would harm each other's data: use a local disk, ` +
      "or set storage.filesystem.singleprocess: true if no other process ever opens it",
  );
}

/**
 * A lock that the system releases at death, whatever kills the process: SQLite's own, on a file that holds nothing.
 * Servers share it; what must be alone takes it whole.
 */
function holdFolder(folder: string, { alone }: { readonly alone: boolean }): Connection {
  try {
    const lock = Connection.open(join(folder, LOCK), ["busy_timeout = 5"]);
    try {
      lock.exec(alone ? "begin exclusive" : "begin; select count(*) from sqlite_schema");
      return lock;
    } catch (error) {
      lock.close();
      throw error;
    }
  } catch (error) {
    if (!sqliteCode(error)?.startsWith("SQLITE_BUSY")) {
      throw new DataFolderError(`the data folder ${folder} cannot be used: ${String(error)}`, { cause: error });
    }
    throw new DataFolderError(
      `the data folder ${folder} is held by a process that does not share it: wait until it is done, or stop it`,
      { cause: error },
    );
  }
}
