/** The folder that holds a registry: who may use it, and its database. */
import { accessSync, chmodSync, closeSync, constants, existsSync, mkdirSync, openSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { Connection, sqliteCode } from "./connection.ts";
import { SQLITE_MIGRATIONS } from "../migrations/migrations.ts";
import { SqliteEngine, schemaVersion, whenFree } from "./sqlite-engine.ts";

/** The folder cannot be used; the message says why and what to do. */
export class DataFolderError extends Error {
  override readonly name = "DataFolderError";
}

/** The file in a data folder that holds all facts. */
export const DATABASE = "registry.db";
const LOCK = "lock.db";

/** Takes the lock on a file together with others: a read that does not end. */
const SHARED = "begin; select count(*) from sqlite_schema";

/** File systems over a network, by the numbers in Linux' magic.h: they do not share memory, which SQLite's log needs. */
const NETWORKED: ReadonlyMap<number, string> = new Map([
  [0x6969, "NFS"],
  [0xff534d42, "CIFS"],
  [0xfe534d42, "SMB"],
  [0x01021997, "9p"],
]);

export interface DataFolderOptions {
  /** Whether no other process may have the folder open. */
  readonly alone: boolean;
  /** Whether a folder without a database is refused; it is made otherwise. */
  readonly mustExist?: boolean;
}

/**
 * Opens the database in `folder` and holds the folder until it is closed or the process dies: shared with other servers,
 * or alone.
 */
export async function openDataFolder(folder: string, options: DataFolderOptions): Promise<SqliteEngine> {
  const database = join(folder, DATABASE);
  if (options.mustExist && !existsSync(database)) {
    throw new DataFolderError(`there is no registry in ${folder}: name the data folder of the server with --data`);
  }
  makeFolder(folder);
  for (const file of [DATABASE, LOCK]) makePrivate(join(folder, file));
  if (!options.alone) refuseNetwork(folder);
  let lock = holdFolder(folder, options);
  try {
    // A server of an older version that still runs would not know the new tables: nobody else may be there meanwhile.
    const migrating = !options.alone && (await whenFree(() => isOutdated(database)));
    if (migrating) {
      lock.close();
      lock = holdFolder(folder, { alone: true });
    }
    const engine = await SqliteEngine.open(database, options);
    if (migrating) lock.exec(`commit; ${SHARED}`);
    return engine.closingAlso(lock);
  } catch (error) {
    lock.close();
    throw explained(database, error);
  }
}

function explained(database: string, error: unknown): unknown {
  if (!/^SQLITE_(?:NOTADB|CORRUPT)/.test(sqliteCode(error) ?? "")) return error;
  return new DataFolderError(`${database} is damaged: restore a backup with stowage restore`, { cause: error });
}

/** Whether the database is of an older schema. */
function isOutdated(database: string): boolean {
  const connection = Connection.open(database, ["busy_timeout = 5"]);
  try {
    const version = schemaVersion(connection);
    return version > 0 && version < SQLITE_MIGRATIONS.length;
  } finally {
    connection.close();
  }
}

/** Only the owner may look: layers and settings can hold secrets. */
function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    // One that was made beforehand becomes private when it is first used; later its mode is the operator's.
    if (!existsSync(join(folder, DATABASE))) chmodSync(folder, 0o700);
    accessSync(folder, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new DataFolderError(
      `the data folder ${folder} cannot be written: give this user the right, or choose another folder ` +
        "(REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY)",
      { cause: error },
    );
  }
}

/** SQLite makes its files as the umask says, and those beside a database like the database: so it is there before. */
export function makePrivate(file: string): void {
  closeSync(openSync(file, "a", 0o600));
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
      lock.exec(alone ? "begin exclusive" : SHARED);
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
