/** Why the system does not do something with a file, in words for an operator. */

const REASONS: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EDQUOT: "its file system is full",
  EEXIST: "the path already exists",
  EISDIR: "it is a folder, not a file",
  ELOOP: "its symbolic links form a loop",
  EMFILE: "too many files are open",
  ENAMETOOLONG: "its path is too long",
  ENFILE: "too many files are open",
  ENOENT: "it does not exist",
  ENOSPC: "its file system is full",
  ENOTDIR: "a part of its path is not a folder",
  EPERM: "permission denied",
  EROFS: "its file system is mounted read-only",
};

/** Whether `error` is the system's, and about a file. */
export function isFileError(error: unknown): error is NodeJS.ErrnoException {
  const { code, syscall } = (error ?? {}) as NodeJS.ErrnoException;
  return error instanceof Error && syscall !== undefined && code !== undefined && Object.hasOwn(REASONS, code);
}

/** Such as `it is not there`; `error` is what a call of `node:fs` threw. */
export function fileErrorReason(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  return REASONS[code ?? ""] ?? `the operating system refused it (${code ?? String(error)})`;
}
