/** Keeps some of the disk free: a database on a disk that is full to the last byte cannot even record a deletion. */
import { statfs } from "node:fs/promises";

/** Bytes that stay free, at most. */
const RESERVE = 64 * 1024 * 1024;
/** The largest part of a disk that stays free: a small disk has a smaller reserve. */
const SHARE = 1 / 20;

/** Milliseconds for which a sample of the free space is used: other programs write to the disk too. */
const SAMPLE_MS = 50;
/** The part of the reserve that may be written before the next sample. */
const SAMPLE_SHARE = 1 / 4;

export class DiskReserve {
  readonly #folder: string;
  /** The last `statfs`: the bytes that could be written then, and the bytes that were written since. */
  #sample: { readonly at: number; readonly free: number; readonly reserve: number; written: number } | undefined;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Rejects as a full disk does (`ENOSPC`) when `bytes`, about to be written, would eat into what has to stay free. */
  async check(bytes: number): Promise<void> {
    if (this.#fits(bytes)) return;
    await this.#takeSample(bytes, bytes);
  }

  /** As `check`, for bytes that a client announces: they are written later, piece by piece. */
  async checkAnnounced(bytes: number): Promise<void> {
    const sample = this.#sample;
    const isRecent = sample !== undefined && performance.now() - sample.at <= SAMPLE_MS;
    if (isRecent && sample.free - sample.written >= bytes) return;
    await this.#takeSample(bytes, 0);
  }

  async #takeSample(bytes: number, written: number): Promise<void> {
    const { bavail, blocks, bsize } = await statfs(this.#folder);
    const reserve = Math.min(RESERVE, blocks * bsize * SHARE);
    const free = bavail * bsize - reserve;
    // A full disk is sampled at every check.
    this.#sample = free >= bytes ? { at: performance.now(), free, reserve, written } : undefined;
    if (this.#sample) return;
    throw Object.assign(new Error(`no space left in ${this.#folder} but the reserve of ${Math.round(reserve)} bytes`), {
      code: "ENOSPC",
    });
  }

  /** Whether the last sample shows that `bytes` fit. Counts them as written when it does. */
  #fits(bytes: number): boolean {
    const sample = this.#sample;
    if (!sample || performance.now() - sample.at > SAMPLE_MS) return false;
    const written = sample.written + bytes;
    if (written > sample.free || written > sample.reserve * SAMPLE_SHARE) return false;
    sample.written = written;
    return true;
  }
}
