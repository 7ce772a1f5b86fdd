/** Who besides this user can read or change what lies in the data folder. */
import { statSync } from "node:fs";
import type { Stats } from "node:fs";
import { join } from "node:path";

/** What a data folder holds at its top. */
const CONTENTS = ["registry.db", "registry.db-wal", "blobs", "uploads"];

export interface FolderAccess {
  /** What members of its group can do; undefined when nothing. */
  readonly group: string | undefined;
  /** The same of every other user of the machine. */
  readonly everybody: string | undefined;
  /** Whether others can read or change anything but the names of these files. */
  readonly isExposed: boolean;
  /** One line for the log. */
  readonly message: string;
}

/** Undefined when the folder is private to its owner. */
export function accessByOthers(folder: string): FolderAccess | undefined {
  const found = lookAt(folder);
  if (!found || (found.mode & 0o077) === 0) return undefined;
  const contents = CONTENTS.map((name) => [name, lookAt(join(folder, name))] as const);
  // In containers whose user ID is chosen by the platform, folders belong to the group root, which has no other members.
  const isOfRoot = found.gid === 0 && process.getuid?.() !== 0;
  const group = isOfRoot ? undefined : rightsOf(found, contents, 3);
  const everybody = rightsOf(found, contents, 0);
  const sentences =
    group !== undefined && group.words === everybody?.words
      ? [`its group ${found.gid} and every other user of this machine can ${group.words}`]
      : [
          ...(group === undefined ? [] : [`its group ${found.gid} can ${group.words}`]),
          ...(everybody === undefined ? [] : [`every other user of this machine can ${everybody.words}`]),
        ];
  if (sentences.length === 0) return undefined;
  return {
    group: group?.words,
    everybody: everybody?.words,
    isExposed: (group?.isExposure ?? false) || (everybody?.isExposure ?? false),
    message:
      `the data folder ${folder} has mode ${modeOf(found)}: ${sentences.join("; ")}. To restrict it: ` +
      `chmod 0700 ${folder}`,
  };
}

interface Rights {
  readonly words: string;
  readonly isExposure: boolean;
}

/** Of the group with `shift` 3, of all others with 0; undefined when they have none. */
function rightsOf(
  folder: Stats,
  contents: readonly (readonly [name: string, found: Stats | undefined])[],
  shift: 0 | 3,
): Rights | undefined {
  const has = ({ mode }: Stats, right: number): boolean => ((mode >> shift) & right) === right;
  const [READ, WRITE, ENTER] = [4, 2, 1] as const;
  if (!has(folder, ENTER))
    return has(folder, READ) ? { words: "see the names of its files", isExposure: false } : undefined;
  const readable = contents
    .filter(([, found]) => found && has(found, found.isDirectory() ? ENTER : READ))
    .map(([name]) => name);
  const canReplace = has(folder, WRITE) && (folder.mode & 0o1000) === 0;
  if (canReplace && readable.length > 0) return { words: "read, change and remove everything in it", isExposure: true };
  if (canReplace) return { words: "remove and replace its files, though not read them", isExposure: true };
  if (readable.length > 0) return { words: `read ${readable.join(", ")}`, isExposure: true };
  return { words: "see the names of its files, and read none of them", isExposure: false };
}

function modeOf({ mode }: Stats): string {
  return (mode & 0o7777).toString(8).padStart(4, "0");
}

/** Undefined when it is not there, or cannot be looked at. */
function lookAt(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}
