/** Where a registry keeps its bytes and its metadata. */
import { readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { folderPath } from "./lib/folder-path.ts";
import type { PostgresSettings } from "./metadata/postgres-settings.ts";
import type { SqlEngine } from "./metadata/sql.ts";
import { observedDriver } from "./observe/calls.ts";
import type { Actions, CallObserver } from "./observe/calls.ts";
import type { Logger } from "./observe/logger.ts";
import type { BlobStore, PartWriter } from "./storage/blob-store.ts";
import type { StoreIdentity } from "./storage/store-identity.ts";
import type { S3Options } from "./storage/s3-options.ts";
import type { WritableTreeFiles } from "./storage/tree-files.ts";

/** What a registry is built on. It closes them. */
export interface Drivers {
  readonly blobs: BlobStore;
  readonly metadata: SqlEngine;
  /** Of blobs that lie apart from the database: compared before anything is served. */
  readonly identity?: StoreIdentity | undefined;
  /** Where a tree of distribution may lie, whose files the store has under their paths; absent when none can. */
  readonly tree?: WritableTreeFiles;
  /** Whether such a tree is adopted by a registry without content; it is refused when absent. */
  readonly adopts?: boolean;
}

/** A registry in a folder. */
export interface FolderStorage {
  readonly folder: string;
  /** Whether no other process ever opens the folder: allows file systems over a network. */
  readonly singleProcess?: boolean;
  /** Whether large uploads are written past the page cache, where the file system allows it; false when absent. */
  readonly directWrites?: boolean;
  /** Whether a folder that holds no registry is refused; it is made when absent. */
  readonly mustExist?: boolean;
  /** Where the metadata is; in the folder too, in SQLite, when absent. */
  readonly database?: PostgresSettings | undefined;
  /** A bucket for the bytes of blobs, instead of files in the folder. */
  readonly s3?: S3Options | undefined;
  /** Whether what distribution (`registry:2`, `registry:3`) left in the folder or bucket is adopted; it is refused when absent. */
  readonly adopts?: boolean;
}

/**
 * Where everything is kept: in memory, gone with the process and good on any runtime; in a folder, as files and a SQLite
 * database; or with drivers that the caller opened.
 */
export type StorageOptions = "memory" | FolderStorage | Drivers;

/** The methods of the storage whose calls are reported, by the names that distribution has for what they do. */
const STORAGE_ACTIONS: Actions<BlobStore> = {
  begin: "Writer",
  resume: "Writer",
  takeOver: "Copy",
  stat: "Stat",
  delete: "Delete",
  checkReady: "Check",
};

const WRITER_ACTIONS: Actions<PartWriter> = { append: "Append", checkpoint: "Sync", commit: "Move" };

const DATABASE_ACTIONS: Actions<SqlEngine> = { read: "read", readNow: "read", write: "write", flush: "flush" };

/** Opens the drivers; `observer` receives their calls. */
export async function openDrivers(storage: StorageOptions, log: Logger, observer?: CallObserver): Promise<Drivers> {
  const drivers = await chooseDrivers(storage, log);
  if (!observer) return drivers;
  const { blobs, metadata } = drivers;
  const names = driverNames(storage);
  return {
    ...drivers,
    blobs: observedStore(blobs, names.storage, observer),
    metadata: observedDriver(metadata, { target: "database", driver: names.database }, DATABASE_ACTIONS, observer),
  };
}

/** The store and the writers that it opens. */
function observedStore(blobs: BlobStore, driver: string, observer: CallObserver): BlobStore {
  const place = { target: "storage", driver } as const;
  const observedWriter = (writer: PartWriter): PartWriter => observedDriver(writer, place, WRITER_ACTIONS, observer);
  const store = observedDriver(blobs, place, STORAGE_ACTIONS, observer);
  const [begin, resume] = [store.begin.bind(store), store.resume.bind(store)];
  store.begin = async (...given) => observedWriter(await begin(...given));
  store.resume = async (...given) => {
    const writer = await resume(...given);
    return writer && observedWriter(writer);
  };
  return store;
}

/** What metrics call the drivers: as distribution does, where it has them. */
function driverNames(storage: StorageOptions): { readonly storage: string; readonly database: string } {
  if (storage === "memory") return { storage: "inmemory", database: "inmemory" };
  if ("blobs" in storage) return { storage: "custom", database: "custom" };
  return {
    storage: storage.s3 ? "s3aws" : "filesystem",
    database: storage.database ? "postgresql" : "sqlite",
  };
}

/** Drivers are chosen here and nowhere else; what is not chosen is not loaded. */
async function chooseDrivers(storage: StorageOptions, log: Logger): Promise<Drivers> {
  if (typeof storage === "object" && "blobs" in storage) return storage;
  if (storage === "memory") {
    const { MemoryBlobStore } = await import("./storage/memory/memory-blob-store.ts");
    const { MemoryEngine } = await import("./metadata/memory/memory-engine.ts");
    return { blobs: new MemoryBlobStore(), metadata: await MemoryEngine.open() };
  }
  if (storage.database) return await openWithPostgres(storage, storage.database);
  const { openDataFolder } = await import("./metadata/sqlite/data-folder.ts");
  const { BLOB_FOLDERS } = await import("./storage/filesystem/layout.ts");
  const { FilesystemBlobStore } = await import("./storage/filesystem/filesystem-blob-store.ts");
  const { FolderFiles } = await import("./storage/filesystem/folder-files.ts");
  const folder = folderPath(storage.folder);
  const { adopts = false } = storage;
  const metadata = await openDataFolder(folder, {
    alone: storage.singleProcess ?? false,
    mustExist: storage.mustExist ?? false,
    blobFolders: BLOB_FOLDERS,
    onConversion: (table) => log.info({ table }, "the database is being converted to a new schema"),
    adopts: adopts && !storage.s3, // the blobs of its tree are files
  });
  if (storage.s3) {
    const { S3BlobStore } = await import("./storage/s3/s3-blob-store.ts");
    const s3 = new S3BlobStore(storage.s3);
    return { blobs: s3, metadata, identity: s3.identity, tree: s3.files, adopts };
  }
  const blobs = await FilesystemBlobStore.open(folder, { directWrites: storage.directWrites ?? false });
  return { blobs, metadata, tree: new FolderFiles(folder), adopts };
}

/** Blobs in the folder or in a bucket, metadata in PostgreSQL. */
async function openWithPostgres(storage: FolderStorage, database: PostgresSettings): Promise<Drivers> {
  const { openPostgres } = await import("./metadata/postgres/open-postgres.ts");
  const { mustExist = false, adopts = false } = storage;
  if (storage.s3) return { ...(await openBlobs(storage)), metadata: await openPostgres(database), adopts };
  const { prepareBlobFolder } = await import("./metadata/sqlite/data-folder.ts");
  const { HolderLocks } = await import("./metadata/sqlite/holder-locks.ts");
  const { BLOB_FOLDERS } = await import("./storage/filesystem/layout.ts");
  const folder = folderPath(storage.folder);
  prepareBlobFolder(folder, { mustExist, blobFolders: BLOB_FOLDERS, adopts });
  const blobs = await openBlobs(storage);
  // Every process that opens the database has the folder, so its locks tell which of them run.
  const metadata = await openPostgres(database, new HolderLocks(folder));
  return { ...blobs, metadata, adopts };
}

/** The store of the blobs alone, in a bucket or in a folder that is there; and what says of which database they are. */
export async function openBlobs({
  folder: given,
  directWrites = false,
  s3,
}: FolderStorage): Promise<Required<Pick<Drivers, "blobs" | "identity" | "tree">>> {
  if (s3) {
    const { S3BlobStore } = await import("./storage/s3/s3-blob-store.ts");
    const blobs = new S3BlobStore(s3);
    const { identity, files: tree } = blobs;
    return { blobs, identity, tree };
  }
  const { STORE_ID, makeFileLikeFolder } = await import("./metadata/sqlite/data-folder.ts");
  const { BLOB_FOLDERS } = await import("./storage/filesystem/layout.ts");
  const { FilesystemBlobStore } = await import("./storage/filesystem/filesystem-blob-store.ts");
  const { FolderFiles } = await import("./storage/filesystem/folder-files.ts");
  const folder = folderPath(given);
  const blobs = await FilesystemBlobStore.open(folder, { directWrites });
  const identity = identityIn(folder, join(folder, STORE_ID), BLOB_FOLDERS, makeFileLikeFolder);
  return { blobs, identity, tree: new FolderFiles(folder) };
}

function identityIn(
  folder: string,
  idFile: string,
  blobFolders: readonly string[],
  makeFile: (path: string) => void,
): StoreIdentity {
  return {
    place: "folder",
    setting: "storage.filesystem.rootdirectory",
    // A file that was made and not written has none.
    read: async () => (await readFile(idFile, "utf8").catch(ifThere)) || undefined,
    async write(id) {
      makeFile(idFile);
      await writeFile(idFile, id, { flush: true });
    },
    async hasBlobs() {
      const found = await Promise.all(blobFolders.map((name) => readdir(join(folder, name)).catch(ifThere)));
      return found.some((names) => names !== undefined && names.length > 0);
    },
  };
}

function ifThere(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
}
