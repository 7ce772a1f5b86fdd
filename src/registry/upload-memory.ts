/** What one process remembers of uploads under way, to spare work. Nothing correct depends on it. */
import { Claims } from "../lib/claims.ts";
import type { Digester } from "../oci/digest.ts";

/** Running hashes kept; beyond that the oldest is forgotten, and its upload is read once more when it closes. */
const MAX_REMEMBERED = 4096;

interface Remembered {
  readonly version: number;
  readonly digester: Digester;
}

export class UploadMemory {
  /** Who writes in this process: saves asking the database, whose claims hold between processes. */
  readonly writers: Claims = new Claims();
  readonly #digesters = new Map<string, Remembered>();

  /** Keeps the running hash of an upload as of `version`. */
  remember(id: string, version: number, digester: Digester): void {
    this.#digesters.delete(id);
    this.#digesters.set(id, { version, digester });
    for (const oldest of this.#digesters.keys()) {
      if (this.#digesters.size <= MAX_REMEMBERED) break;
      this.#digesters.delete(oldest);
    }
  }

  /** The running hash of exactly the bytes that the upload has at `version`, when it is remembered. */
  recall(id: string, version: number): Digester | undefined {
    const remembered = this.#digesters.get(id);
    return remembered?.version === version ? remembered.digester : undefined;
  }

  forget(id: string): void {
    this.#digesters.delete(id);
  }
}
