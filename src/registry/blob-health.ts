/** Whether the bytes of a blob are what its row says. */
import type { BlobFacts } from "../metadata/metadata-store.ts";
import { Digester, algorithmOf } from "../oci/digest.ts";
import type { StorageKey } from "../storage/blob-store.ts";
import type { Backend } from "./backend.ts";

/**
 * Looks at the file without reading it: gone or of another size is damaged. One that somebody touched since it was
 * recorded is hashed, once. A damaged blob is recorded as such: it is missing from then on, so that the next push
 * puts it right.
 */
export async function isSound(backend: Backend, facts: BlobFacts): Promise<boolean> {
  const { at, digest, size } = facts;
  if (at.kind === "inline") return at.payload.length === size;
  const key = at.storageKey as StorageKey;
  // At once, as rows are read too: on a disk of this machine that is over before a thread of the pool would have begun.
  if (backend.store.isUnchanged(key, { size, mtimeMs: at.mtimeMs })) return true;
  const stat = await backend.store.stat(key);
  if (stat?.size === size && stat.mtimeMs === at.mtimeMs) return true;
  if (stat?.size === size && (await matches(backend, facts, key))) {
    await backend.metadata.confirmBlob(digest, key, stat.mtimeMs);
    return true;
  }
  await backend.metadata.markDamaged(digest, key);
  return false;
}

async function matches(backend: Backend, { digest }: BlobFacts, key: StorageKey): Promise<boolean> {
  const algorithm = algorithmOf(digest);
  const digester = Digester.of(algorithm);
  for await (const piece of backend.store.read(key)) digester.update(piece);
  return digester.digest(algorithm) === digest;
}
