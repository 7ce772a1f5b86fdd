/** Folders that another program keeps its data in. */
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { DataFolderError } from "./data-folder-error.ts";

const DISTRIBUTION = "distribution (registry:2, registry:3)";

/** What only such a folder holds. */
const SIGNS: readonly (readonly [path: string, what: string])[] = [
  [join("docker", "registry", "v2"), `the data folder of ${DISTRIBUTION}`],
  [join("registry", "v2", "repositories"), `a part of the data folder of ${DISTRIBUTION}`],
  [join("v2", "repositories"), `a part of the data folder of ${DISTRIBUTION}`],
  ["oci-layout", "an OCI image layout"],
];

/**
 * Throws `DataFolderError` when `folder` holds no `database` but what belongs to another program. Otherwise it would be
 * served as an empty registry, and whatever lies in `blobFolders` removed as files that no record names.
 */
export function refuseForeignFolder(folder: string, database: string, blobFolders: readonly string[]): void {
  if (sizeOf(join(folder, database)) > 0) return;
  const sign = SIGNS.find(([path]) => existsSync(join(folder, path)));
  if (sign) {
    throw new DataFolderError(
      `${folder} is ${sign[1]} (it holds ${sign[0]}), which Stowage does not read, and leaves as it is: name another data ` +
        "folder (--data, REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY), and copy the images into the new registry with a " +
        "client, such as skopeo sync (docs/configuration.md, Files of distribution)",
    );
  }
  const filled = blobFolders.map((name) => join(folder, name)).find(holdsSomething);
  if (filled === undefined) return;
  throw new DataFolderError(
    `${filled} holds files, but there is no ${join(folder, database)} that says what they are: put it back, or restore ` +
      "a backup (stowage restore); if they belong to another program, name another data folder (--data)",
  );
}

/** 0 when the file cannot be looked at: whoever opens it says why. */
function sizeOf(file: string): number {
  try {
    return statSync(file).size;
  } catch {
    return 0;
  }
}

/** False when the folder cannot be looked at: whoever opens it says why. */
function holdsSomething(folder: string): boolean {
  try {
    return readdirSync(folder).length > 0;
  } catch {
    return false;
  }
}
