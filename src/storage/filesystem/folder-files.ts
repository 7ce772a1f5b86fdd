/** Files of another program in the data folder. */
import { randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { copyFile, link, open, readFile, readdir, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { InheritedPermissions } from "../../lib/inherited-permissions.ts";
import type { TreeEntry, TreeFile, TreeFileStat, WritableTreeFiles } from "../tree-files.ts";

/** What says that a path does not lead to a file, or to a folder. */
const ABSENT: ReadonlySet<string | undefined> = new Set(["ENOENT", "ENOTDIR", "EISDIR"]);

/** Files of up to so many bytes are read without asking for their size first. */
const SMALL = 4096;

/** Folders in the cache, at most. */
const MOST_KNOWN = 100_000;

/** Errors of file systems, or pairs of them, without hard links. */
const NO_LINK: ReadonlySet<string | undefined> = new Set(["EXDEV", "EPERM", "ENOTSUP", "EMLINK"]);

/** Errors of files that this process may not read, or that a disk does not give. */
const UNREADABLE: ReadonlySet<string | undefined> = new Set(["EACCES", "EPERM", "EIO", "ELOOP", "ENAMETOOLONG"]);

export class FolderFiles implements WritableTreeFiles {
  readonly place = "data folder";
  readonly #root: string;
  readonly #permissions: InheritedPermissions;
  /** Folders that this object has seen. */
  readonly #folders = new Set<string>();

  /** `root` is there. */
  constructor(root: string) {
    this.#root = root;
    this.#permissions = InheritedPermissions.in(root);
  }

  async list(folder: string): Promise<readonly TreeEntry[]> {
    const entries = await readdir(join(this.#root, folder), { withFileTypes: true }).catch(ignoreAbsent);
    return await Promise.all(
      (entries ?? []).map(async (entry) => ({
        name: entry.name,
        isFolder: entry.isDirectory() || (entry.isSymbolicLink() && (await this.#isFolder(join(folder, entry.name)))),
      })),
    );
  }

  async stat(path: string): Promise<TreeFileStat | undefined> {
    const found = await stat(`${this.#root}/${path}`).catch(ignoreAbsent);
    return found?.isFile() ? { size: found.size, mtimeMs: found.mtimeMs } : undefined;
  }

  async holdsFile(folder: string): Promise<boolean> {
    for (const { name, isFolder } of await this.list(folder)) {
      if (!isFolder || (await this.holdsFile(`${folder}/${name}`))) return true;
    }
    return false;
  }

  async read(path: string, maxBytes: number): Promise<TreeFile | "too large" | undefined> {
    let mtimeMs: number | undefined;
    if (maxBytes > SMALL) {
      const found = await this.stat(path);
      if (!found) return undefined;
      if (found.size > maxBytes) return "too large";
      ({ mtimeMs } = found);
    }
    const bytes = await readFile(`${this.#root}/${path}`).catch(ignoreAbsent);
    return bytes && (bytes.length > maxBytes ? "too large" : { bytes, mtimeMs });
  }

  isUnreadable(error: unknown): boolean {
    return UNREADABLE.has((error as NodeJS.ErrnoException).code);
  }

  async write(path: string, content: Uint8Array): Promise<boolean> {
    const found = await this.read(path, content.length);
    if (typeof found === "object" && Buffer.compare(found.bytes, content) === 0) return false;
    await this.#replace(path, async (temporary) => {
      const file = await open(temporary, "wx", this.#permissions.fileMode);
      try {
        await this.#permissions.applyToFile(file);
        await file.writeFile(content);
        await file.sync();
      } finally {
        await file.close();
      }
    });
    return true;
  }

  async link(key: string, path: string, size: number): Promise<boolean> {
    if (key === path || (await this.stat(path))?.size === size) return false;
    const source = join(this.#root, key);
    await this.#replace(path, async (temporary) => {
      const linked = await link(source, temporary).then(
        () => true,
        (error: NodeJS.ErrnoException) => {
          if (!NO_LINK.has(error.code)) throw error;
          return false;
        },
      );
      if (!linked) await copyFile(source, temporary, constants.COPYFILE_FICLONE);
    });
    return true;
  }

  async remove(path: string): Promise<void> {
    await rm(join(this.#root, path), { recursive: true, force: true });
    this.#folders.clear();
  }

  /** Makes a file under a temporary name, as distribution does, and gives it its own. */
  async #replace(path: string, make: (temporary: string) => Promise<void>): Promise<void> {
    const target = join(this.#root, path);
    await this.#makeFolder(dirname(target));
    const temporary = `${target}.${randomUUID()}.tmp`;
    try {
      await make(temporary);
      await rename(temporary, target);
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
  }

  async #makeFolder(folder: string): Promise<void> {
    if (folder === this.#root || this.#folders.has(folder)) return;
    await this.#makeFolder(dirname(folder));
    await this.#permissions.makeFolder(folder);
    if (this.#folders.size >= MOST_KNOWN) this.#folders.clear();
    this.#folders.add(folder);
  }

  /** Operators move a part of a tree to another disk, and leave a link. */
  async #isFolder(path: string): Promise<boolean> {
    const found = await stat(join(this.#root, path)).catch(ignoreAbsent);
    return found?.isDirectory() ?? false;
  }
}

function ignoreAbsent(error: NodeJS.ErrnoException): undefined {
  if (ABSENT.has(error.code)) return undefined;
  throw error;
}
