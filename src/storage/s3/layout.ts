/** Where objects lie below the prefix. */
import { randomUUID } from "node:crypto";
import type { PartKey, StorageKey } from "../blob-store.ts";
import { isTreeUploadKey } from "../distribution-tree.ts";

/**
 * ```
 * <prefix>/
 *   blobs/9f/<upload id>             a blob, or the bytes of an unfinished upload while they are fewer than a part
 *   uploads/<upload id>/<position>.<random>   a tail of an unfinished upload: what is behind its last whole part
 *   stowage.json                     which database the objects belong to
 *   docker/registry/v2/…             what distribution has written, whose blobs keep their keys (`../distribution-tree.ts`)
 * ```
 * The key of a blob is chosen when its upload begins, before its digest is known: S3 cannot rename. So `storageKey` depends on
 * the part alone.
 */
export const BLOBS = "blobs/";
export const UPLOADS = "uploads/";
export const IDENTITY = "stowage.json";

/** Stands in lists for multipart uploads that only have to be aborted. */
const MULTIPARTS = "multiparts/";

export function partKey(upload: string): PartKey {
  return `${UPLOADS}${upload}` as PartKey;
}

/** The key of the blob that a part becomes. Objects that begin differently are spread over more machines of S3. */
export function blobKey(part: PartKey): StorageKey {
  const upload = part.slice(UPLOADS.length);
  return `${BLOBS}${upload.slice(0, 2)}/${upload}` as StorageKey;
}

/** The part that the object under a key was made for. */
export function partOfKey(key: string): PartKey | undefined {
  if (key.startsWith(BLOBS)) return partKey(key.slice(key.lastIndexOf("/") + 1));
  if (key.startsWith(UPLOADS)) return partKey(key.slice(UPLOADS.length).split("/")[0] ?? "");
  return undefined;
}

/** A key, never given twice, for a tail that ends at this position of its upload. */
export function tailKey(part: PartKey, position: number): string {
  return `${part}/${position}.${randomUUID().slice(0, 8)}`;
}

/** What `list` calls the multipart uploads to the key of a blob. */
export function multipartKey(blob: string): PartKey {
  return `${MULTIPARTS}${blob}` as PartKey;
}

export type Meaning =
  | { readonly kind: "part"; readonly part: PartKey }
  | { readonly kind: "multipart"; readonly blob: string }
  | { readonly kind: "object" }
  /** The bytes of an upload that distribution did not finish: an object, or a multipart upload to that key. */
  | { readonly kind: "upload of distribution" };

/** What is to be deleted under a key. */
export function meaningOf(key: PartKey | StorageKey): Meaning {
  if (key.startsWith(MULTIPARTS)) return { kind: "multipart", blob: key.slice(MULTIPARTS.length) };
  if (key.startsWith(UPLOADS) && !key.slice(UPLOADS.length).includes("/"))
    return { kind: "part", part: key as PartKey };
  if (isTreeUploadKey(key)) return { kind: "upload of distribution" };
  return { kind: "object" };
}
