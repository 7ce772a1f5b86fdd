/**
 * Holders of uploads: which of them still run. A holder is a process, or one of several registries in a process.
 *
 * Two witnesses say so. The system itself knows processes (`Holders`), and says at once that one has died. And a **lease** in
 * the database (`holder-leases.ts`) is renewed by a timer: when it has ended, the process sleeps.
 */
import { randomUUID } from "node:crypto";

/** Counts as running until it is disposed of, or its process dies. */
export interface Holder extends AsyncDisposable {
  /** Never used twice. */
  readonly id: string;
}

/**
 * What is known of a holder. "ended": it certainly ended. "disconnected": it is out of reach, so its uploads are free, but it may
 * still write. "runs": also when nothing is known, and then its lease decides.
 */
export type HolderFate = "runs" | "disconnected" | "ended";

/** What the system knows of the processes that share a database. */
export interface Holders {
  /** Returns a new holder, which belongs to this process. */
  announce(): Promise<Holder>;
  fateOf(id: string): Promise<HolderFate>;
}

/** Holders of a database that no other process can open: all others that it names have ended. */
export class HoldersOfThisProcess implements Holders {
  readonly #running = new Set<string>();

  async announce(): Promise<Holder> {
    const id = randomUUID();
    this.#running.add(id);
    return { id, [Symbol.asyncDispose]: async () => void this.#running.delete(id) };
  }

  async fateOf(id: string): Promise<HolderFate> {
    return this.#running.has(id) ? "runs" : "ended";
  }
}
