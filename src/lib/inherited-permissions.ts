/** The permissions of what is made in a folder: they follow from those of the folder. */
import { closeSync, constants, fchmodSync, fchownSync, lchownSync, openSync, statSync } from "node:fs";
import { chmod, mkdir, open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";

/** In a folder that its group may write, as Kubernetes' `fsGroup` makes it, the group may write everything. */
const SHARED = { file: 0o660, folder: 0o770 } as const;
/** In any other folder only the owner may read, because images can hold secrets. */
const PRIVATE = { file: 0o600, folder: 0o700 } as const;

const GROUP_WRITES = 0o030;
/** On a folder: what is made in it gets the group of the folder. */
const SET_GROUP_ID = 0o2000;

/** Errors of file systems without owners, of NFS servers that map root to nobody, and of processes without permission. */
const REFUSALS: ReadonlySet<string | undefined> = new Set([
  "EPERM",
  "EACCES",
  "ENOTSUP",
  "EOPNOTSUPP",
  "ENOSYS",
  "EINVAL",
]);

interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/**
 * What is made in a folder is private to its owner, unless the folder's group may write: then it belongs to that group,
 * which may read and write it. What root makes in a folder of another user belongs to that user. What was there before
 * is never changed.
 */
export class InheritedPermissions {
  readonly fileMode: number;
  readonly folderMode: number;
  /** Whether the umask of this process would take some of these permissions away. */
  readonly #isMasked: boolean;
  /** Undefined when what this process makes has the right owner and group by itself. */
  readonly #owner: Owner | undefined;

  private constructor(fileMode: number, folderMode: number, owner: Owner | undefined) {
    this.fileMode = fileMode;
    this.folderMode = folderMode;
    this.#isMasked = ((fileMode | folderMode) & process.umask()) !== 0;
    this.#owner = owner;
  }

  /** Throws when `folder` is not there. */
  static in(folder: string): InheritedPermissions {
    const { mode, uid, gid } = statSync(folder);
    const [ownUid, ownGid] = [process.geteuid?.() ?? uid, process.getegid?.() ?? gid];
    const isRoot = ownUid === 0;
    const isInGroup = isRoot || gid === ownGid || (process.getgroups?.().includes(gid) ?? false);
    const isShared = (mode & GROUP_WRITES) === GROUP_WRITES && isInGroup;
    const passesGroupOn = mode & SET_GROUP_ID;
    const { file: fileMode, folder: folderMode } = isShared ? SHARED : PRIVATE;
    const isOfOtherUser = isRoot && uid !== 0;
    const isOfOtherGroup = isShared && gid !== ownGid && passesGroupOn === 0;
    const owner = isOfOtherUser ? { uid, gid } : isOfOtherGroup ? { uid: ownUid, gid } : undefined;
    return new InheritedPermissions(fileMode, isShared ? folderMode | passesGroupOn : folderMode, owner);
  }

  /** Makes an empty file; one that is there already is left as it is. */
  makeFile(path: string): void {
    let file: number;
    try {
      file = openSync(path, "wx", this.fileMode);
    } catch (error) {
      if (codeOf(error) === "EEXIST") return;
      throw error;
    }
    try {
      const owner = this.#owner;
      if (owner) unlessRefused(() => fchownSync(file, owner.uid, owner.gid));
      if (this.#isMasked) unlessRefused(() => fchmodSync(file, this.fileMode));
    } finally {
      closeSync(file);
    }
  }

  /** Makes a folder below one that is there; one that is there already is left as it is. */
  async makeFolder(path: string): Promise<void> {
    try {
      await mkdir(path, { mode: this.folderMode });
    } catch (error) {
      if (codeOf(error) === "EEXIST") return;
      throw error;
    }
    if (!this.#isMasked && !this.#owner) return;
    // Not by its path: another user who may write to the folder above could have replaced it by a link.
    const openIt = (): Promise<FileHandle> =>
      open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
    const folder = await openIt().catch(async (error: unknown) => {
      if (codeOf(error) !== "EACCES") throw error;
      await chmod(path, this.folderMode); // a umask that takes even the owner's rights
      return await openIt();
    });
    try {
      await this.#apply(folder, this.folderMode);
    } finally {
      await folder.close();
    }
  }

  /** For a file that this process has just made with `fileMode`. */
  async applyToFile(file: FileHandle): Promise<void> {
    if (this.#isMasked || this.#owner) await this.#apply(file, this.fileMode);
  }

  /** For a copy, which has the permissions of its original. */
  async applyToCopy(file: FileHandle): Promise<void> {
    await this.#apply(file, this.fileMode);
  }

  /** For a file that a library has made by its path, with the permissions of another file but its own group. */
  giveToOwner(path: string): void {
    const owner = this.#owner;
    if (owner) unlessRefused(() => lchownSync(path, owner.uid, owner.gid));
  }

  async #apply(made: FileHandle, mode: number): Promise<void> {
    const owner = this.#owner;
    if (owner) await made.chown(owner.uid, owner.gid).catch(ignoreRefusal);
    await made.chmod(mode).catch(ignoreRefusal);
  }
}

function unlessRefused(change: () => void): void {
  try {
    change();
  } catch (error) {
    ignoreRefusal(error);
  }
}

function ignoreRefusal(error: unknown): void {
  if (!REFUSALS.has(codeOf(error))) throw error;
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}
