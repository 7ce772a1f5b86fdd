/** The buffers that part files are written from. */

/** Bytes of one buffer: a multiple of every disk's block size. Larger ones do not stay in the cache of a processor. */
export const BUFFER_BYTES = 512 * 1024;

/** Buffers that are lent at once, to all uploads together. */
const MAX_LENT = 128;

/** Unused buffers that are kept for the next upload. */
const MAX_SPARE = 16;

/**
 * Lends buffers, so that memory does not grow with the number of uploads. Engines place arrays of this size at the
 * beginning of a page, which direct writes need (open(2), `O_DIRECT`).
 */
export class WriteBuffers {
  readonly #spare: Uint8Array[] = [];
  #lent = 0;

  /** A buffer of `BUFFER_BYTES` with undefined contents, to be returned by `giveBack`; undefined when all are lent. */
  lend(): Uint8Array | undefined {
    if (this.#lent === MAX_LENT) return undefined;
    this.#lent += 1;
    return this.#spare.pop() ?? new Uint8Array(BUFFER_BYTES);
  }

  giveBack(buffer: Uint8Array): void {
    this.#lent -= 1;
    if (this.#spare.length < MAX_SPARE) this.#spare.push(buffer);
  }
}
