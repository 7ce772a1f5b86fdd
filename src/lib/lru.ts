/** The cache of this program: bounded by bytes, and what was used least recently is evicted first. */

/** Bytes that an entry costs beside its key and its value, measured: its object, and its share of the map. */
export const ENTRY_BYTES = 160;

/** An entry stands between one that was used later and one that was used earlier. */
interface Entry<Key, Value> {
  readonly key: Key;
  readonly value: Value;
  readonly bytes: number;
  later: Entry<Key, Value> | undefined;
  earlier: Entry<Key, Value> | undefined;
}

/**
 * Holds values until their bytes exceed a bound; then the least recently used ones go. A read costs little more than one of a
 * `Map`. (A `Map` whose entries are put behind each other knows the order too, but it walks past all that was deleted.)
 *
 * Nothing in here expires or is invalidated: its users compare what a value rests on with what there is now.
 */
export class LruCache<Key, Value> {
  readonly maxBytes: number;
  readonly #entries = new Map<Key, Entry<Key, Value>>();
  #latest: Entry<Key, Value> | undefined;
  #earliest: Entry<Key, Value> | undefined;
  #bytes = 0;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  /** What all entries cost together: at most `maxBytes`, always. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The number of entries. */
  get size(): number {
    return this.#entries.size;
  }

  /** Undefined when the key is unknown, or was evicted. */
  get(key: Key): Value | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    if (entry !== this.#latest) {
      this.#unlink(entry);
      this.#link(entry);
    }
    return entry.value;
  }

  /**
   * Stores a value, in place of an older one. `bytes` are those of key and value together, as far as they may ever grow; an
   * entry that exceeds the bound by itself is not stored.
   */
  set(key: Key, value: Value, bytes: number): void {
    this.delete(key);
    const cost = bytes + ENTRY_BYTES;
    if (cost > this.maxBytes) return;
    while (this.#earliest !== undefined && this.#bytes + cost > this.maxBytes) this.delete(this.#earliest.key);
    const entry: Entry<Key, Value> = { key, value, bytes: cost, later: undefined, earlier: undefined };
    this.#link(entry);
    this.#entries.set(key, entry);
    this.#bytes += cost;
  }

  /** Whether there was one. */
  delete(key: Key): boolean {
    const entry = this.#entries.get(key);
    if (entry === undefined) return false;
    this.#unlink(entry);
    this.#bytes -= entry.bytes;
    return this.#entries.delete(key);
  }

  clear(): void {
    this.#entries.clear();
    this.#latest = this.#earliest = undefined;
    this.#bytes = 0;
  }

  #link(entry: Entry<Key, Value>): void {
    entry.earlier = this.#latest;
    if (this.#latest) this.#latest.later = entry;
    else this.#earliest = entry;
    this.#latest = entry;
  }

  #unlink(entry: Entry<Key, Value>): void {
    const { later, earlier } = entry;
    if (later) later.earlier = earlier;
    else this.#latest = earlier;
    if (earlier) earlier.later = later;
    else this.#earliest = later;
    entry.later = entry.earlier = undefined;
  }
}

/** Bytes that a text needs at most in memory: two for each character, when one of them is beyond Latin-1, and its object. */
export function textBytes(text: string): number {
  return 32 + 2 * text.length;
}
