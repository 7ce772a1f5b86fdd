/** One holder of a key at a time, without waiting. */

/** Marks keys as taken. A key is free again when what `claim` gave is disposed of. */
export class Claims {
  readonly #taken = new Set<string>();

  /** Undefined when someone else holds `key`. */
  claim(key: string): Disposable | undefined {
    if (this.#taken.has(key)) return undefined;
    this.#taken.add(key);
    return { [Symbol.dispose]: () => void this.#taken.delete(key) };
  }
}
