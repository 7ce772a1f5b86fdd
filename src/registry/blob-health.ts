/** Whether the bytes of a blob are what its row says. */
import type { BlobRecord } from "../metadata/blobs.ts";
import { Digester, algorithmOf } from "../oci/digest.ts";
import type { Digest } from "../oci/digest.ts";
import type { BlobStore, StorageKey } from "../storage/blob-store.ts";
import type { Backend } from "./backend.ts";
import { hashInTurns } from "./hash-turns.ts";

/**
 * Compares the fingerprint of the store with the row. Bytes that are gone or of another size are corrupt. Those whose
 * fingerprint changed are hashed, once for all requests that wait for it, and the new fingerprint is recorded. A corrupt blob is recorded as such: it is
 * missing from then on, until the next push of its bytes.
 */
export async function isIntact(backend: Backend, record: BlobRecord): Promise<boolean> {
  const { location, size } = record;
  if (location.kind === "inline") return location.payload.length === size;
  const key = location.storageKey as StorageKey;
  // Files say so at once, as rows are read too: on a disk of this machine that is over before a thread of the pool would begin.
  const unchanged = backend.store.isUnchanged(key, location.fingerprint);
  if (unchanged === true || (unchanged !== false && (await unchanged))) return true;
  return await backend.verifications.run(key, () => verify(backend, record, key, location.fingerprint));
}

/** Looks at the bytes themselves, and records what it found. */
async function verify(
  { store, metadata }: Backend,
  { digest, size }: BlobRecord,
  key: StorageKey,
  recorded: string,
): Promise<boolean> {
  const stat = await store.stat(key);
  if (stat?.size === size && stat.fingerprint === recorded) return true;
  if (stat?.size === size && (await hasDigest(store, key, digest))) {
    await metadata.blobs.markIntact(digest, key, stat.fingerprint);
    return true;
  }
  await metadata.blobs.markCorrupt(digest, key);
  return false;
}

async function hasDigest(store: BlobStore, key: StorageKey, digest: Digest): Promise<boolean> {
  const algorithm = algorithmOf(digest);
  const digester = Digester.of(algorithm);
  try {
    for await (const piece of store.read(key)) await hashInTurns(digester, piece);
  } catch (error) {
    if (await store.stat(key)) throw error;
    return false; // removed while it was read
  }
  return digester.digest(algorithm) === digest;
}
