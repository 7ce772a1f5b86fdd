/** Repairs what the integrity check finds. */
import type { RecordedBlob } from "../metadata/blobs.ts";
import { algorithmOf, digestOf } from "../oci/digest.ts";
import type { StorageKey } from "../storage/blob-store.ts";
import type { Backend } from "./backend.ts";
import { examine, problemOf } from "./check.ts";
import type { CheckOptions, Finding } from "./check.ts";

/**
 * As `check`, and marks corrupt blobs as missing, so that the next push replaces them, marks blobs as intact whose bytes were put
 * back, and deletes unknown files. Yields what it found; blobs that are intact again are no findings.
 */
export async function* repair(backend: Backend, options: CheckOptions): AsyncGenerator<Finding> {
  const { store } = backend;
  for await (const { finding, blob } of examine(backend, options)) {
    if (finding.kind === "unknown file") await store.delete([finding.key as StorageKey]); // no backup needs what no record names
    else if (blob && (await isRestored(backend, blob, options))) continue;
    else if (blob) await markCorrupt(backend, blob);
    yield finding;
  }
}

/** Whether the bytes of a blob that was marked as corrupt are intact again; records that they are. */
async function isRestored(backend: Backend, blob: RecordedBlob, options: CheckOptions): Promise<boolean> {
  if (!blob.corrupt || blob.location.kind === "inline") return false;
  // Its fingerprint before it is read: what is written to it meanwhile is noticed later.
  const stat = await backend.store.stat(blob.location.storageKey as StorageKey);
  if (!stat || (await problemOf(backend, blob, { ...options, deep: true })) !== undefined) return false;
  await backend.metadata.blobs.markIntact(blob.digest, blob.location.storageKey, stat.fingerprint);
  return true;
}

/** Marks the bytes that are wrong, and none that came since. */
async function markCorrupt({ metadata }: Backend, { digest, location }: RecordedBlob): Promise<void> {
  if (location.kind === "stored") return await metadata.blobs.markCorrupt(digest, location.storageKey);
  const payload = await metadata.blobs.inlinePayload(digest);
  if (payload && digestOf(payload, algorithmOf(digest)) !== digest) await metadata.blobs.markCorrupt(digest, payload);
}
