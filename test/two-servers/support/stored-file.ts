/** Where a blob lies in a data folder. */
import { join } from "node:path";
import { queryFolder } from "../../support/data-folder.ts";

/** The path of its file inside the folder; undefined when the blob is not recorded, or lies in the database. */
export function findStorageKey(dataDir: string, digest: string): string | undefined {
  const [row] = queryFolder(dataDir, "select storage_key from blob where digest = ?", digest);
  const key = row?.["storage_key"];
  return typeof key === "string" ? key : undefined;
}

export function storedFile(dataDir: string, digest: string): string {
  const key = findStorageKey(dataDir, digest);
  if (key === undefined) throw new Error(`${digest} has no file`);
  return join(dataDir, key);
}
