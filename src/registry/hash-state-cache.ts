/** The running hashes of uploads in this process. Nothing correct depends on them: without one, bytes are read once more. */
import type { Digester } from "../oci/digest.ts";

/** Entries, each of some hundred bytes. The oldest is evicted first, and its upload is read once more when it closes. */
const MAX_ENTRIES = 4096;

interface Entry {
  readonly version: number;
  readonly digester: Digester;
}

export class HashStateCache {
  readonly #entries = new Map<string, Entry>();

  /** Caches the running hash of exactly the bytes that the upload has at `version`. */
  set(id: string, version: number, digester: Digester): void {
    this.#entries.delete(id);
    this.#entries.set(id, { version, digester });
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= MAX_ENTRIES) break;
      this.#entries.delete(oldest);
    }
  }

  /** The running hash of exactly the bytes that the upload has at `version`; undefined when it is not cached. */
  get(id: string, version: number): Digester | undefined {
    const entry = this.#entries.get(id);
    return entry?.version === version ? entry.digester : undefined;
  }

  delete(id: string): void {
    this.#entries.delete(id);
  }
}
