/** Hash states of uploads in this process. Nothing correct depends on them: without one, bytes are read once more. */
import { LruCache, textBytes } from "../lib/lru.ts";
import type { Digester } from "../oci/digest.ts";

/** Of some 4,000 uploads. The least recently used is evicted first, and its upload is read once more when it closes. */
const MAX_BYTES = 5 * 1024 ** 2;

/** What a hash state costs, with the objects round it. */
const STATE_BYTES = 1024;

interface Entry {
  readonly version: number;
  readonly digester: Digester;
}

export class HashStateCache {
  readonly #entries = new LruCache<string, Entry>(MAX_BYTES);

  /** Caches the hash state of exactly the bytes that the upload has at `version`. */
  set(id: string, version: number, digester: Digester): void {
    this.#entries.set(id, { version, digester }, textBytes(id) + STATE_BYTES);
  }

  /** The hash state of exactly the bytes that the upload has at `version`; undefined when it is not cached. */
  get(id: string, version: number): Digester | undefined {
    const entry = this.#entries.get(id);
    return entry?.version === version ? entry.digester : undefined;
  }

  delete(id: string): void {
    this.#entries.delete(id);
  }
}
