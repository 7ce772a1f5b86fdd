/** Why the system does not do something with a file, in words for an operator. */

/** Such as `it is not there`; `error` is what a call of `node:fs` threw. */
export function fileTrouble(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  switch (code) {
    case "ENOENT":
      return "it is not there";
    case "ENOTDIR":
      return "a part of its path is no folder";
    case "EISDIR":
      return "it is a folder, where a file is needed";
    case "EEXIST":
      return "something else is there";
    case "EACCES":
    case "EPERM":
      return `user ${process.geteuid?.() ?? "of this process"} does not have the right`;
    case "EROFS":
      return "its file system is mounted read-only";
    case "ENOSPC":
    case "EDQUOT":
      return "its file system is full";
    case "ENAMETOOLONG":
      return "its path is too long";
    case "ELOOP":
      return "its symbolic links lead in a circle";
    case "EMFILE":
    case "ENFILE":
      return "too many files are open";
    default:
      return `the system refuses it (${code ?? String(error)})`;
  }
}
