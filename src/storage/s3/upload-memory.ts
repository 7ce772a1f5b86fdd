/** The memory of all uploads together: whoever wants more than is left waits. */

/** Bytes that are borrowed, until they are given back. */
export interface Borrowed extends Disposable {
  readonly buffer: Uint8Array;
}

/** Buffers of one size that are kept for the next upload. */
const MAX_SPARE = 4;

export class UploadMemory {
  readonly #total: number;
  readonly #waiting: { readonly bytes: number; go(): void }[] = [];
  readonly #spare: Uint8Array[] = [];
  #lent = 0;

  constructor(total: number) {
    this.#total = total;
  }

  /** Bytes that are borrowed now. */
  get lent(): number {
    return this.#lent;
  }

  /**
   * A buffer of `bytes`, with undefined contents, once there is room: in the order of the calls. Whoever holds one must be
   * able to give it back without another: then everybody gets one in the end.
   */
  async borrow(bytes: number): Promise<Borrowed> {
    if (this.#waiting.length > 0 || !this.#fits(bytes)) {
      await new Promise<void>((resolve) => this.#waiting.push({ bytes, go: resolve }));
    } else {
      this.#lent += bytes;
    }
    const at = this.#spare.findIndex(({ length }) => length === bytes);
    const [spare] = at < 0 ? [] : this.#spare.splice(at, 1);
    let buffer: Uint8Array | undefined = spare ?? new Uint8Array(bytes);
    return {
      buffer,
      [Symbol.dispose]: () => {
        if (buffer) this.#giveBack(buffer);
        buffer = undefined;
      },
    };
  }

  /** One that is larger than everything waits until nothing else is lent. */
  #fits(bytes: number): boolean {
    return this.#lent === 0 || this.#lent + bytes <= this.#total;
  }

  #giveBack(buffer: Uint8Array): void {
    this.#lent -= buffer.length;
    this.#spare.unshift(buffer);
    this.#spare.length = Math.min(this.#spare.length, MAX_SPARE);
    for (let [next] = this.#waiting; next && this.#fits(next.bytes); [next] = this.#waiting) {
      this.#waiting.shift();
      this.#lent += next.bytes;
      next.go();
    }
  }
}
