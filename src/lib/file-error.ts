/** Why the system does not do something with a file, in words for an operator. */

const REASONS: Readonly<Record<string, string>> = {
  EACCES: "this user does not have the right",
  EDQUOT: "its file system is full",
  EEXIST: "something else is there",
  EISDIR: "it is a folder, where a file is needed",
  ELOOP: "its symbolic links lead in a circle",
  EMFILE: "too many files are open",
  ENAMETOOLONG: "its path is too long",
  ENFILE: "too many files are open",
  ENOENT: "it is not there",
  ENOSPC: "its file system is full",
  ENOTDIR: "a part of its path is no folder",
  EPERM: "this user does not have the right",
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
  return REASONS[code ?? ""] ?? `the system refuses it (${code ?? String(error)})`;
}
