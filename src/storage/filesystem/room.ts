/** Keeps some of the disk free: a database on a disk that is full to the last byte cannot even record a deletion. */
import { statfs } from "node:fs/promises";

/** Bytes that stay free, at most … */
const RESERVE = 64 * 1024 * 1024;
/** … and of a small disk at most this part. */
const SHARE = 1 / 20;

export class Room {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Rejects as a full disk does (`ENOSPC`) when `bytes` more would eat into what has to stay free. */
  async check(bytes: number): Promise<void> {
    const { bavail, blocks, bsize } = await statfs(this.#folder);
    const reserve = Math.min(RESERVE, blocks * bsize * SHARE);
    if (bavail * bsize - bytes >= reserve) return;
    throw Object.assign(new Error(`no space left in ${this.#folder} but the reserve of ${Math.round(reserve)} bytes`), {
      code: "ENOSPC",
    });
  }
}
