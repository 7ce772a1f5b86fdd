/** Folders that another program keeps its data in. */
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { UNFINISHED_COPY } from "../database-file.ts";
import { DataFolderError } from "./data-folder-error.ts";

const DISTRIBUTION = "distribution (registry:2, registry:3)";

/** Where distribution keeps its data, in the folder that its settings name. */
const TREE = join("docker", "registry", "v2");

/** By this file GitLab's registry says that its database, and not the folder, knows what is in the registry. */
const DATABASE_IN_USE = join("docker", "registry", "lockfiles", "database-in-use");

/** What only such a folder holds. */
const SIGNS: readonly (readonly [path: string, what: string])[] = [
  [TREE, `the data folder of ${DISTRIBUTION}`],
  [join("registry", "v2", "repositories"), `a part of the data folder of ${DISTRIBUTION}`],
  [join("v2", "repositories"), `a part of the data folder of ${DISTRIBUTION}`],
  ["oci-layout", "an OCI image layout"],
];

const ADOPTED_BY_SERVE =
  ", which stowage serve takes over as it is: start the server on it once, or name another data folder (--data)";

const NOT_READ =
  ", which Stowage does not read, and leaves as it is: name the folder above that distribution calls rootdirectory, or " +
  "another data folder (--data, REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY), and copy the images with stowage import";

/**
 * Throws `DataFolderError` when `folder` holds no `database` but what belongs to another program, unless that is distribution's and
 * is adopted. Otherwise it would be served as an empty registry, and whatever lies in `blobFolders` removed as files that no record
 * names.
 */
export function refuseForeignFolder(
  folder: string,
  database: string,
  { blobFolders, adopts }: { readonly blobFolders: readonly string[]; readonly adopts: boolean },
): void {
  if (sizeOf(join(folder, database)) > 0) return;
  if (existsSync(join(folder, UNFINISHED_COPY))) {
    throw new DataFolderError(
      `${folder} holds an incomplete copy of a registry (${UNFINISHED_COPY}), because a restore, backup or migration was ` +
        "interrupted: delete the folder and restore again, or run stowage migrate again",
    );
  }
  const sign = SIGNS.find(([path]) => existsSync(join(folder, path)));
  if (sign?.[0] === TREE && existsSync(join(folder, DATABASE_IN_USE))) {
    throw new DataFolderError(
      `${folder} belongs to a GitLab registry whose database is in use (it holds ${DATABASE_IN_USE}): the files do not say ` +
        "what is in it. Copy the images over HTTP into a new data folder (--data) with stowage import",
    );
  }
  if (sign && !(sign[0] === TREE && adopts)) {
    throw new DataFolderError(
      `${folder} is ${sign[1]} (it holds ${sign[0]})${sign[0] === TREE ? ADOPTED_BY_SERVE : NOT_READ} ` +
        "(docs/migrating.md)",
    );
  }
  // Beside a tree too: what was pushed since it was taken over is known to the database alone.
  const filled = blobFolders.map((name) => join(folder, name)).find(holdsSomething);
  if (filled === undefined) return;
  throw new DataFolderError(
    `${filled} holds files, but there is no ${join(folder, database)} that says what they are: put it back, or restore ` +
      "a backup (stowage restore); if they belong to another program, name another data folder (--data)",
  );
}

/** 0 when the file cannot be examined: opening it later says why. */
function sizeOf(file: string): number {
  try {
    return statSync(file).size;
  } catch {
    return 0;
  }
}

/** False when the folder cannot be read: opening it later says why. */
function holdsSomething(folder: string): boolean {
  try {
    return readdirSync(folder).length > 0;
  } catch {
    return false;
  }
}
