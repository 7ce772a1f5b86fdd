/** Blobs as files in the data folder. `layout.ts` draws the tree. */
import { constants, statSync } from "node:fs";
import type { Stats } from "node:fs";
import { copyFile, link, open, readdir, rename, rmdir, stat, unlink } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import type { Digest } from "../../oci/digest.ts";
import type { ByteLocation } from "../../lib/byte-location.ts";
import type { ByteRange } from "../../lib/byte-range.ts";
import { InheritedPermissions } from "../../lib/inherited-permissions.ts";
import { readFile } from "../../lib/read-file.ts";
import { MissingBlobError } from "../blob-store.ts";
import type {
  BlobStat,
  BlobStore,
  CountedPart,
  Ending,
  Part,
  PartKey,
  PartWriter,
  StorageKey,
  StoredKey,
} from "../blob-store.ts";
import { isTreeKey } from "../distribution-tree.ts";
import { FilesystemPartFile, openDirect } from "./part-file.ts";
import type { OpenDirect } from "./part-file.ts";
import { FilesystemPartWriter } from "./part-writer.ts";
import { Folders } from "./folders.ts";
import { DiskReserve } from "./disk-reserve.ts";
import { WriteBuffers } from "./write-buffers.ts";
import { PROBE_NAME, WriteProbe } from "./write-probe.ts";
import { BLOBS, BLOB_FOLDERS, UPLOADS, partKey, storageKey } from "./layout.ts";

/** Files that are unlinked at the same time: some threads of the pool are left to requests. */
const UNLINKS_AT_ONCE = 4;

/** Behind the name of a file that is being copied. */
const UNFINISHED = ".copying";

export interface FilesystemOptions {
  /** Whether large uploads are written past the page cache, where the file system allows it; false when absent. */
  readonly directWrites?: boolean;
}

export class FilesystemBlobStore implements BlobStore {
  readonly #root: string;
  readonly #permissions: InheritedPermissions;
  readonly #folders: Folders;
  readonly #reserve: DiskReserve;
  readonly #probe: WriteProbe;
  readonly #buffers = new WriteBuffers();
  readonly #openDirect: OpenDirect | undefined;

  private constructor(root: string, { directWrites = false }: FilesystemOptions = {}) {
    this.#openDirect = directWrites ? openDirect : undefined;
    this.#root = root;
    this.#permissions = InheritedPermissions.in(root);
    this.#folders = new Folders(root, this.#permissions);
    this.#reserve = new DiskReserve(root);
    this.#probe = new WriteProbe([root, ...BLOB_FOLDERS.map((name) => join(root, name))]);
  }

  /** Opens the store in `root`, a folder that is there. */
  static async open(root: string, options: FilesystemOptions = {}): Promise<FilesystemBlobStore> {
    const store = new FilesystemBlobStore(resolve(root), options);
    await store.#folders.ensure(join(store.#root, UPLOADS));
    await store.#folders.ensure(join(store.#root, BLOBS));
    return store;
  }

  /** The store in `root`, to read from: nothing in it is made or changed, so it may lie on a medium that cannot be written. */
  static reading(root: string): Pick<FilesystemBlobStore, "putInto" | "read" | "stat"> {
    return new FilesystemBlobStore(resolve(root));
  }

  partKey(upload: string): PartKey {
    return partKey(upload);
  }

  storageKey(part: PartKey, digest: Digest, attempt?: string): StorageKey {
    return storageKey(part, digest, attempt);
  }

  async begin(key: PartKey): Promise<PartWriter> {
    const path = this.#path(key);
    // An upload whose last writer died before it recorded a byte leaves a file behind: it counts for nothing.
    const create = (): Promise<FileHandle> => this.#create(path);
    const handle = await create().catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw error;
      await this.#makeAgain(dirname(path));
      return await create();
    });
    return this.#writer(handle, 0, key);
  }

  async resume({ key, size }: CountedPart): Promise<PartWriter | undefined> {
    const handle = await open(this.#path(key), "r+").catch(ignoreMissing);
    if (!handle) return undefined;
    try {
      if ((await handle.stat()).size >= size) {
        await handle.truncate(size);
        return this.#writer(handle, size, key);
      }
    } catch (error) {
      await handle.close();
      throw error;
    }
    await handle.close();
    return undefined;
  }

  async takeOver(
    { key, size }: CountedPart,
    fresh: PartKey,
    { committedAs, mayWakeUp }: Ending,
  ): Promise<Part | undefined> {
    if (committedAs !== undefined) await rename(this.#path(committedAs), this.#path(key)).catch(ignoreMissing);
    if (!mayWakeUp) return { key, state: undefined };
    return (await this.#copyPart(key, fresh, size)) ? { key: fresh, state: undefined } : undefined;
  }

  /** Copies the first `size` bytes of a part file; durable when it resolves. False when they are not there. */
  async #copyPart(from: PartKey, to: PartKey, size: number): Promise<boolean> {
    const [source, target] = [this.#path(from), this.#path(to)];
    const found = await stat(source).catch(ignoreMissing);
    if (!found || found.size < size) return false;
    // Where the file system can, the copy shares the blocks and costs nothing.
    await copyFile(source, target, constants.COPYFILE_FICLONE);
    const copy = await open(target, "r+");
    try {
      await this.#permissions.applyToCopy(copy);
      await copy.truncate(size);
      await copy.sync(); // the row moves to it: what was answered for must outlive a power loss there too
    } finally {
      await copy.close();
    }
    await this.#folders.sync(dirname(target));
    return true;
  }

  async #commit(part: PartKey, key: StorageKey): Promise<BlobStat> {
    const [from, to] = [this.#path(part), this.#path(key)];
    const folder = dirname(to);
    await syncFile(from);
    await this.#folders.ensure(folder);
    await rename(from, to).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw error;
      await this.#makeAgain(folder);
      await rename(from, to);
    });
    await this.#folders.sync(folder); // the name is durable only once its folder is; waiters share one sync
    return statOf(await stat(to));
  }

  /** There are no states. */
  async forget(): Promise<void> {}

  async stat(key: StorageKey): Promise<BlobStat | undefined> {
    const found = await stat(this.#path(key)).catch(ignoreMissing);
    return found?.isFile() ? statOf(found) : undefined;
  }

  isUnchanged(key: StorageKey, fingerprint: string): boolean {
    try {
      const found = statSync(this.#path(key), { throwIfNoEntry: false });
      return found !== undefined && fingerprintOf(found) === fingerprint && found.isFile();
    } catch {
      return false; // the caller finds out what is wrong with the disk
    }
  }

  locate(key: StorageKey, size: number): ByteLocation {
    return { kind: "file", path: this.#path(key), range: { start: 0, end: size - 1 } };
  }

  async *read(key: StorageKey, range?: ByteRange): AsyncGenerator<Uint8Array> {
    try {
      yield* readFile(this.#path(key), range);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") throw new MissingBlobError(key, { cause: error });
      throw error;
    }
  }

  async *list(): AsyncGenerator<StoredKey> {
    for (const top of [UPLOADS, BLOBS]) yield* this.#list(top);
  }

  /** Folder by folder: the names of one are in memory, of which there are 256 for each algorithm. */
  async *#list(folder: string): AsyncGenerator<StoredKey> {
    const entries = await readdir(join(this.#root, folder), { withFileTypes: true }).catch(ignoreMissing);
    for (const entry of entries ?? []) {
      const key = join(folder, entry.name);
      if (entry.isDirectory()) yield* this.#list(key);
      if (!entry.isFile() || entry.name === PROBE_NAME) continue;
      const found = await stat(join(this.#root, key)).catch(ignoreMissing);
      if (found?.isFile()) yield { key: key as PartKey | StorageKey, size: found.size, modifiedAt: found.mtimeMs };
    }
  }

  async delete(keys: readonly (PartKey | StorageKey)[]): Promise<void> {
    const left = keys.values();
    const unlinkLeft = async (): Promise<void> => {
      for (const key of left) {
        await unlink(this.#path(key)).catch(ignoreMissing);
        if (isTreeKey(key)) await this.#removeEmptyFolders(dirname(key));
      }
    };
    await Promise.all(Array.from({ length: UNLINKS_AT_ONCE }, unlinkLeft));
  }

  /**
   * Puts a blob of `size` bytes into another store under the same key; durable when it resolves. A hard link where the file
   * system allows and `copy` is false: both then share the bytes, and any damage to them. A file that an interrupted call left
   * under the key is replaced. Returns what is wrong with the file in this store, if anything is. Rejects when the other one
   * cannot take it.
   */
  async putInto(
    other: FilesystemBlobStore,
    key: StorageKey,
    { size, copy }: { readonly size: number; readonly copy: boolean },
  ): Promise<"missing" | "unreadable" | "wrong size" | undefined> {
    try {
      await this.#putInto(other, key, copy);
    } catch (error) {
      if (!(await this.stat(key))) return "missing";
      if (!(await this.#isReadable(key))) return "unreadable";
      throw error;
    }
    return (await other.stat(key))?.size === size ? undefined : "wrong size";
  }

  async #putInto(other: FilesystemBlobStore, key: StorageKey, copy: boolean): Promise<void> {
    const [from, to] = [this.#path(key), other.#path(key)];
    await other.#folders.ensure(dirname(to));
    if (copy || !(await linkFile(from, to))) await other.#putCopy(from, to);
    await other.#folders.sync(dirname(to));
  }

  /** Copies a file of another store; under its name it is whole, or not there. */
  async #putCopy(from: string, to: string): Promise<void> {
    const unfinished = `${to}${UNFINISHED}`;
    try {
      await copyFile(from, unfinished, constants.COPYFILE_FICLONE);
      await syncFile(unfinished, (made) => this.#permissions.applyToCopy(made));
      await rename(unfinished, to);
    } catch (error) {
      await unlink(unfinished).catch(() => undefined); // the first error says more
      throw error;
    }
  }

  async #isReadable(key: StorageKey): Promise<boolean> {
    try {
      for await (const _ of this.read(key));
      return true;
    } catch {
      return false;
    }
  }

  checkRoom(bytes: number): Promise<void> {
    return this.#reserve.checkAnnounced(bytes);
  }

  async checkReady(): Promise<void> {
    await this.#probe.check();
  }

  async close(): Promise<void> {}

  async #create(path: string): Promise<FileHandle> {
    const handle = await open(path, "w", this.#permissions.fileMode);
    try {
      await this.#permissions.applyToFile(handle);
      return handle;
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** In a tree of distribution each blob has a folder of its own, and each upload some. */
  async #removeEmptyFolders(folder: string): Promise<void> {
    for (let each = folder; isTreeKey(dirname(each)); each = dirname(each)) {
      const isRemoved = await rmdir(join(this.#root, each)).then(
        () => true,
        () => false, // it holds others, or another process was faster
      );
      if (!isRemoved) return;
    }
  }

  /** Makes a folder that was removed while it was empty. */
  async #makeAgain(folder: string): Promise<void> {
    this.#folders.forget(folder);
    await this.#folders.ensure(folder);
  }

  #writer(handle: FileHandle, position: number, key: PartKey): PartWriter {
    const path = this.#path(key);
    const file = new FilesystemPartFile(path, handle, position, {
      buffers: this.#buffers,
      openDirect: this.#openDirect,
      checkRoom: (bytes) => this.#reserve.check(bytes),
      syncName: () => this.#folders.sync(dirname(path)),
    });
    return new FilesystemPartWriter(file, position, (as) => this.#commit(key, as));
  }

  #path(key: PartKey | StorageKey): string {
    return join(this.#root, key);
  }
}

function statOf(found: Stats): BlobStat {
  return { size: found.size, fingerprint: fingerprintOf(found) };
}

function fingerprintOf({ size, mtimeMs }: Stats): string {
  return `${size} ${mtimeMs}`;
}

/** Makes the bytes of a file durable, and what `change` does to it. */
async function syncFile(path: string, change?: (file: FileHandle) => Promise<void>): Promise<void> {
  const handle = await open(path, "r+");
  try {
    await change?.(handle);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Makes a hard link, in the place of another file if one is there. False where there can be none. */
async function linkFile(from: string, to: string): Promise<boolean> {
  const make = (): Promise<boolean> => link(from, to).then(() => true, ignoreNoLink);
  return await make().catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== "EEXIST") throw error;
    const [source, found] = [await stat(from), await stat(to)];
    if (found.ino === source.ino && found.dev === source.dev) return true;
    await unlink(to);
    return await make();
  });
}

/** False when two folders cannot share a file: they lie on different file systems, or theirs has no links. */
function ignoreNoLink(error: NodeJS.ErrnoException): false {
  if (["EXDEV", "EPERM", "ENOTSUP", "EMLINK", "EROFS"].includes(error.code ?? "")) return false;
  throw error;
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code === "ENOENT") return undefined;
  throw error;
}
