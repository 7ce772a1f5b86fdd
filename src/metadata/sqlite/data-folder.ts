/** The folder that holds a registry: who may use it, and its database. */
import { accessSync, chmodSync, constants, lstatSync, mkdirSync, realpathSync, statfsSync } from "node:fs";
import { dirname, join } from "node:path";
import { InheritedPermissions } from "../../lib/inherited-permissions.ts";
import { sqliteOfRuntime } from "./binding.ts";
import { Connection, sqliteCode } from "./connection.ts";
import type { ConversionListener } from "./conversion.ts";
import { DataFolderError, cannotBeWritten } from "./data-folder-error.ts";
import { refuseForeignFolder } from "./foreign-folder.ts";
import { HOLDERS } from "./holder-locks.ts";
import { DATABASE } from "../database-file.ts";
import { SCHEMA_VERSION } from "../migrations/migrations.ts";
import { BusyRetry } from "./busy-retry.ts";
import { SqliteEngine, schemaVersion } from "./sqlite-engine.ts";

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
  /** Called while a database of an old schema is converted, which may take long. */
  readonly onConversion?: ConversionListener | undefined;
  /** The folders in it that hold the bytes of blobs. */
  readonly blobFolders?: readonly string[];
  /** Whether a folder that distribution has filled is taken over. */
  readonly adopts?: boolean;
}

/**
 * Opens the database in `folder` and holds the folder until it is closed or the process dies: shared with other servers,
 * or alone. Throws `DataFolderError` when the folder cannot be written, or holds something else than a registry.
 */
export async function openDataFolder(folder: string, options: DataFolderOptions): Promise<SqliteEngine> {
  sqliteOfRuntime(); // a runtime without SQLite is told before a folder is made
  const { blobFolders = [] } = options;
  const database = join(folder, DATABASE);
  refuseLongPath(folder);
  refuseForeignFolder(folder, DATABASE, { blobFolders, adopts: options.adopts ?? false });
  if (options.mustExist && isAbsent(database)) {
    throw new DataFolderError(
      `there is no registry in ${folder}: give the data folder of the server with --data or --config, or start the server once`,
    );
  }
  makeFolder(folder);
  refuseLongPath(realpathSync(folder));
  const permissions = InheritedPermissions.in(folder);
  const sidecars = ["-wal", "-shm"].map((suffix) => `${database}${suffix}`);
  for (const file of [database, join(folder, LOCK)]) checkUsable(file, constants.R_OK | constants.W_OK, permissions);
  for (const file of sidecars) if (!isAbsent(file)) checkUsable(file, constants.R_OK | constants.W_OK);
  for (const each of [...blobFolders, HOLDERS].map((name) => join(folder, name))) {
    if (!isAbsent(each)) checkUsable(each, EVERYTHING);
  }
  if (!options.alone) refuseNetwork(folder);
  let lock = holdFolder(folder, options);
  try {
    // A server of an older version that still runs would not know the new tables: no other process may use them meanwhile.
    const migrating = !options.alone && (await new BusyRetry().run(() => isOutdated(database)));
    if (migrating) {
      lock.close();
      lock = holdFolder(folder, { alone: true });
    }
    const engine = await SqliteEngine.open(database, options);
    for (const file of sidecars) permissions.giveToOwner(file);
    if (migrating) lock.exec(`commit; ${SHARED}`);
    return engine.closingAlso(lock);
  } catch (error) {
    lock.close();
    throw explained(database, error);
  }
}

/**
 * Prepares a folder that holds blobs alone, for a registry whose metadata is elsewhere. Throws `DataFolderError` when it cannot be
 * written, or holds something else, such as a registry with its metadata.
 */
export function prepareBlobFolder(
  folder: string,
  {
    mustExist = false,
    blobFolders = [],
    adopts = false,
  }: Pick<DataFolderOptions, "mustExist" | "blobFolders" | "adopts">,
): void {
  refuseLongPath(folder);
  refuseForeignFolder(folder, STORE_ID, { blobFolders, adopts });
  if (!isAbsent(join(folder, DATABASE))) {
    throw new DataFolderError(
      `${folder} holds a registry with its metadata (${DATABASE}), which a registry with database.url would not see: ` +
        "give another folder, or remove database.url",
    );
  }
  if (mustExist && isAbsent(join(folder, STORE_ID))) {
    throw new DataFolderError(
      `there is no registry in ${folder}: give the data folder of the server with --data or --config, or start the server once`,
    );
  }
  makeFolder(folder);
  refuseLongPath(realpathSync(folder));
  for (const each of [...blobFolders, HOLDERS].map((name) => join(folder, name))) {
    if (!isAbsent(each)) checkUsable(each, EVERYTHING);
  }
}

/** The file that says to which database a folder of blobs belongs. */
export const STORE_ID = "store-id";

/** Makes a file of a data folder, empty and with the permissions that the folder gives; one that is there stays. */
export function makeFileLikeFolder(path: string): void {
  InheritedPermissions.in(dirname(path)).makeFile(path);
}

/** An error of SQLite's in words for an operator; any other one as it is. */
function explained(database: string, error: unknown): unknown {
  const code = sqliteCode(error);
  if (code === undefined) return error;
  return new DataFolderError(`${database} ${problemOf(code, dirname(database))} (${code})`, { cause: error });
}

function problemOf(code: string, folder: string): string {
  // What memory maps of a file does not fit is told as an I/O error.
  if (code === "SQLITE_FULL" || (code.startsWith("SQLITE_IOERR") && isFull(folder))) {
    return "cannot be written: its file system is full: free space";
  }
  const found = PROBLEMS.find(([codes]) => codes.test(code));
  return found?.[1] ?? "cannot be opened: see that it is a file of this registry";
}

const PROBLEMS: readonly (readonly [codes: RegExp, why: string])[] = [
  [/^SQLITE_(?:NOTADB|CORRUPT)/, "is corrupt: restore a backup with stowage restore"],
  [
    /^SQLITE_(?:READONLY|PERM|AUTH)/,
    "cannot be written: give this user the right, and see that its file system is not read-only",
  ],
  [/^SQLITE_IOERR/, "cannot be read or written: its disk reports an error, which the log of the system explains"],
];

/** The files that SQLite keeps beside a database take some ten KiB. */
const FULL_BYTES = 128 * 1024;

function isFull(folder: string): boolean {
  const { bavail, bsize, ffree, files } = statfsSync(folder);
  return bavail * bsize < FULL_BYTES || (files > 0 && ffree === 0);
}

/** Whether the database is of an older schema. */
function isOutdated(database: string): boolean {
  const connection = Connection.open(database, ["busy_timeout = 5"]);
  try {
    const version = schemaVersion(connection);
    return version > 0 && version < SCHEMA_VERSION;
  } finally {
    connection.close();
  }
}

const EVERYTHING = constants.R_OK | constants.W_OK | constants.X_OK;

/** Makes the folder when it is not there. The mode of one that is there is never changed: it is its operator's. */
function makeFolder(folder: string): void {
  try {
    const isNew = mkdirSync(folder, { recursive: true, mode: 0o700 }) !== undefined;
    if (isNew) chmodSync(folder, 0o700); // whatever the umask takes
    accessSync(folder, EVERYTHING);
  } catch (error) {
    throw cannotBeWritten(`the data folder ${folder}`, folder, error);
  }
}

/** Sees that this process has the `rights` to what lies at `path`, which is made as a file first where `permissions` say how. */
function checkUsable(path: string, rights: number, permissions?: InheritedPermissions): void {
  try {
    permissions?.makeFile(path);
    accessSync(path, rights);
  } catch (error) {
    throw cannotBeWritten(path, path, error);
  }
}

function isAbsent(path: string): boolean {
  try {
    lstatSync(path);
    return false;
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "")) return true;
    throw cannotBeWritten(path, path, error);
  }
}

/** SQLite opens files by paths of at most 512 bytes, symbolic links replaced, the longest name in the folder included. */
const MAX_PATH_BYTES = 492;

function refuseLongPath(folder: string): void {
  const bytes = Buffer.byteLength(folder);
  if (bytes <= MAX_PATH_BYTES) return;
  throw new DataFolderError(
    `the path of the data folder has ${bytes} bytes, and the database opens folders whose path has up to ` +
      `${MAX_PATH_BYTES}: choose a shorter one (${folder})`,
  );
}

function refuseNetwork(folder: string): void {
  const kind = NETWORKED.get(statfsSync(folder).type);
  if (kind === undefined) return;
  throw new DataFolderError(
    `the data folder ${folder} is on ${kind}, where processes cannot share a database: use a local disk, ` +
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
    if (!sqliteCode(error)?.startsWith("SQLITE_BUSY")) throw explained(join(folder, LOCK), error);
    throw new DataFolderError(
      `the data folder ${folder} is locked by another process: wait until it ends, or stop it`,
      { cause: error },
    );
  }
}
