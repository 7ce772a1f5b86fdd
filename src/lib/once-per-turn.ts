/** A value that is read at most once per event-loop turn. */
export class OncePerTurn<Key, Value> {
  readonly #look: (key: Key) => Value;
  readonly #found = new Map<Key, Value>();

  /** `look` returns the value of a key as it is now. */
  constructor(look: (key: Key) => Value) {
    this.#look = look;
  }

  /** Reads all values anew from now on, because what they are read from has changed. */
  clear(): void {
    this.#found.clear();
  }

  /** Returns the value as of some moment of this turn: it includes every change made before the current request was read. */
  get(key: Key): Value {
    const found = this.#found.get(key);
    if (found !== undefined || this.#found.has(key)) return found as Value;
    if (this.#found.size === 0) setImmediate(() => this.#found.clear()); // before the next requests are read from their sockets
    const value = this.#look(key);
    this.#found.set(key, value);
    return value;
  }
}
