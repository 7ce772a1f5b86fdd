/** Where files lie under the data folder. Keys are paths inside it. */
import type { Digest } from "../../oci/digest.ts";
import { algorithmOf, encodedOf } from "../../oci/digest.ts";
import type { PartKey, StorageKey } from "../blob-store.ts";

/**
 * ```
 * <data>/
 *   uploads/<upload id>                            bytes that are still arriving
 *   blobs/sha256/9f/<64 hex digits>.<upload id>    a blob: what `sha256sum` says of it is its name
 * ```
 * The id behind the digits makes each key fresh: bytes that are pushed again never get the name of a file that
 * garbage collection may be about to delete.
 */
export const UPLOADS = "uploads";
export const BLOBS = "blobs";

/** The folders below the data folder in which files of blobs lie, and no others. */
export const BLOB_FOLDERS: readonly string[] = [UPLOADS, BLOBS];

export function partKey(upload: string): PartKey {
  return `${UPLOADS}/${upload}` as PartKey;
}

export function storageKey(part: PartKey, digest: Digest, attempt = ""): StorageKey {
  const hex = encodedOf(digest);
  const upload = part.slice(UPLOADS.length + 1);
  return `${BLOBS}/${algorithmOf(digest)}/${hex.slice(0, 2)}/${hex}.${upload}${attempt}` as StorageKey;
}
