/** Where a registry keeps its bytes and its metadata. */
import { folderPath } from "./lib/folder-path.ts";
import type { SqlEngine } from "./metadata/sql.ts";
import type { BlobStore } from "./storage/blob-store.ts";

/** What a registry is built on. It closes them. */
export interface Drivers {
  readonly blobs: BlobStore;
  readonly metadata: SqlEngine;
}

/**
 * Where everything is kept: in memory, gone with the process and good on any runtime; in a folder, as files and a SQLite
 * database; or with drivers that the caller opened.
 */
export type StorageOptions =
  | "memory"
  | {
      readonly folder: string;
      /** Whether no other process ever opens the folder: allows file systems over a network. */
      readonly singleProcess?: boolean;
      /** Whether large uploads are written past the page cache, where the file system allows it; false when absent. */
      readonly directWrites?: boolean;
      /** Whether a folder that holds no registry is refused; it is made when absent. */
      readonly mustExist?: boolean;
    }
  | Drivers;

/** Drivers are chosen here and nowhere else; what is not chosen is not loaded. */
export async function openDrivers(storage: StorageOptions): Promise<Drivers> {
  if (typeof storage === "object" && "blobs" in storage) return storage;
  if (storage === "memory") {
    const { MemoryBlobStore } = await import("./storage/memory/memory-blob-store.ts");
    const { MemoryEngine } = await import("./metadata/memory/memory-engine.ts");
    return { blobs: new MemoryBlobStore(), metadata: await MemoryEngine.open() };
  }
  const { openDataFolder } = await import("./metadata/sqlite/data-folder.ts");
  const { BLOB_FOLDERS } = await import("./storage/filesystem/layout.ts");
  const { FilesystemBlobStore } = await import("./storage/filesystem/filesystem-blob-store.ts");
  const folder = folderPath(storage.folder);
  const metadata = await openDataFolder(folder, {
    alone: storage.singleProcess ?? false,
    mustExist: storage.mustExist ?? false,
    blobFolders: BLOB_FOLDERS,
  });
  const blobs = await FilesystemBlobStore.open(folder, { directWrites: storage.directWrites ?? false });
  return { blobs, metadata };
}
