/** What an operator is told about a data folder that cannot be used. */
import { lstatSync } from "node:fs";
import { dirname } from "node:path";

/** The folder cannot be used; the message says why and what to do. */
export class DataFolderError extends Error {
  override readonly name = "DataFolderError";
}

/** For `error`, with which the system refused to make or open `path`; `what` names it in the message. */
export function cannotBeWritten(what: string, path: string, error: unknown): DataFolderError {
  return new DataFolderError(
    `${what} cannot be written: ${reasonFor(path, error)}, or choose another data folder ` +
      "(--data, REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY)",
    { cause: error },
  );
}

function reasonFor(path: string, error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  const found = nearestThere(path);
  switch (code) {
    case "EACCES":
    case "EPERM":
      return `${found.path} belongs to ${found.owner}, and this process runs as ${ownIds()}: run it as a user who may write there, or give this one the right`;
    case "EROFS":
      return "its file system is mounted read-only: mount it for writing";
    case "ENOSPC":
    case "EDQUOT":
      return "its file system has no space or no inode left: free space";
    case "ENAMETOOLONG":
      return "a name in this path is longer than the file system allows (mostly 255 bytes): choose a shorter one";
    case "EEXIST":
    case "ENOTDIR":
    case "ENOENT":
      return `${found.path} is ${found.kind}: name a folder there`;
    default:
      return `the system refuses it (${code ?? String(error)}): see to that`;
  }
}

interface Found {
  readonly path: string;
  /** Such as `0:0 (mode 0755)`. */
  readonly owner: string;
  readonly kind: string;
}

/** `path` itself, or the nearest one above it that is there and can be looked at. */
function nearestThere(path: string): Found {
  try {
    const found = lstatSync(path);
    const mode = (found.mode & 0o7777).toString(8).padStart(4, "0");
    const kind = found.isDirectory()
      ? "a folder in which it cannot be made"
      : found.isSymbolicLink()
        ? "a symbolic link that leads to no folder"
        : "a file";
    return { path, owner: `${found.uid}:${found.gid} (mode ${mode})`, kind };
  } catch (error) {
    const above = dirname(path);
    if (above === path) throw error;
    return nearestThere(above);
  }
}

/** Who this process is to the file system. */
function ownIds(): string {
  const [uid, gid] = [process.geteuid?.(), process.getegid?.()];
  const groups = [...new Set([gid, ...(process.getgroups?.() ?? [])])].join(", ");
  const squashed = uid === 0 ? ", whom an NFS server may treat as nobody" : "";
  return `${uid}:${gid} (groups ${groups})${squashed}`;
}
