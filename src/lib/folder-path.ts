/** Paths of folders as people write them. */
import { resolve } from "node:path";

/** What was written is no usable path; the message says what to write instead. */
export class FolderPathError extends Error {
  override readonly name = "FolderPathError";
}

/**
 * Returns the absolute path, without `.`, `..`, doubled and trailing slashes; symbolic links stay. Throws `FolderPathError`
 * for an empty path, one with a NUL character, and one that begins with `~`, which only shells replace.
 */
export function folderPath(written: string): string {
  if (written === "") throw new FolderPathError("the path of the folder is empty: name a folder, such as ./data");
  if (written.includes("\0"))
    throw new FolderPathError("the path of the folder has a NUL character in it: leave it out");
  if (written.startsWith("~")) {
    throw new FolderPathError(
      `${written} begins with ~, which only a shell replaces by a home directory: write the whole path, ` +
        `or ./${written} for a folder of that name`,
    );
  }
  return resolve(written);
}
