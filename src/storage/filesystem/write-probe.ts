/** Whether files can be made in some folders: found out by making one. */
import { open, unlink } from "node:fs/promises";
import { join } from "node:path";
import { SingleFlight } from "../../lib/single-flight.ts";

/** Made and removed in one go; one that a killed process left is overwritten and removed by the next probe. */
export const PROBE_NAME = ".write-probe";

/** Milliseconds for which a success counts, so that requests of strangers do not write more often. */
const VALID_MS = 1000;

/**
 * What the system says of rights and free blocks is not enough: a file system that became read-only by an error, or that has
 * no inode left, says so to those alone who make a file.
 */
export class WriteProbe {
  readonly #folders: readonly string[];
  readonly #probes = new SingleFlight<"all", void>();
  #validUntil = -Infinity;

  constructor(folders: readonly string[]) {
    this.#folders = folders;
  }

  /** Rejects with the system's error when no file can be made in one of the folders. */
  async check(): Promise<void> {
    if (performance.now() < this.#validUntil) return;
    await this.#probes.run("all", async () => {
      for (const folder of this.#folders) await makeAndRemove(join(folder, PROBE_NAME));
      this.#validUntil = performance.now() + VALID_MS;
    });
  }
}

async function makeAndRemove(path: string): Promise<void> {
  await (await open(path, "w", 0o600)).close();
  await unlink(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error; // another process removed it
  });
}
