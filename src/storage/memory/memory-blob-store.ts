/** Blobs in the memory of the process: for tests and embedding. They are gone when it ends. */
import type { Digest } from "../../oci/digest.ts";
import type { ByteLocation } from "../../lib/byte-location.ts";
import type { ByteRange } from "../../lib/byte-range.ts";
import type { BlobStat, BlobStore, PartFile, PartKey, StorageKey, StoredKey } from "../blob-store.ts";

interface Kept {
  readonly bytes: Uint8Array;
  readonly mtimeMs: number;
}

/** Bytes that grow at their end. Its room doubles when it is used up: a byte is copied twice on average, not once per piece. */
class GrowingBytes {
  #room: Uint8Array;
  #length: number;

  constructor(bytes: Uint8Array = new Uint8Array()) {
    this.#room = bytes;
    this.#length = bytes.length;
  }

  get length(): number {
    return this.#length;
  }

  append(bytes: Uint8Array): void {
    const length = this.#length + bytes.length;
    if (length > this.#room.length) {
      const larger = new Uint8Array(Math.max(length, 2 * this.#room.length));
      larger.set(this.first(this.#length));
      this.#room = larger;
    }
    this.#room.set(bytes, this.#length);
    this.#length = length;
  }

  truncate(size: number): void {
    this.#length = size;
  }

  /** The first `size` bytes; the view is good until the next change. */
  first(size: number): Uint8Array {
    return this.#room.subarray(0, size);
  }
}

export class MemoryBlobStore implements BlobStore {
  readonly #parts = new Map<PartKey, GrowingBytes>();
  readonly #blobs = new Map<StorageKey, Kept>();
  #commits = 0;

  partKey(upload: string): PartKey {
    return `part/${upload}` as PartKey;
  }

  storageKey(part: PartKey, digest: Digest): StorageKey {
    return `${digest}/${part}` as StorageKey;
  }

  async stage(key: PartKey): Promise<PartFile> {
    this.#parts.set(key, new GrowingBytes());
    return this.#writer(key);
  }

  async resume(key: PartKey, size: number): Promise<PartFile | undefined> {
    const part = this.#parts.get(key);
    if (!part || part.length < size) return undefined;
    part.truncate(size);
    return this.#writer(key);
  }

  async copyPart(from: PartKey, to: PartKey, size: number): Promise<boolean> {
    const part = this.#parts.get(from);
    if (!part || part.length < size) return false;
    this.#parts.set(to, new GrowingBytes(part.first(size).slice()));
    return true;
  }

  async *readPart(key: PartKey, size: number): AsyncGenerator<Uint8Array> {
    yield this.#part(key, size).first(size);
  }

  async commit(part: PartKey, key: StorageKey): Promise<BlobStat> {
    const arrived = this.#part(part);
    const kept = { bytes: arrived.first(arrived.length).slice(), mtimeMs: ++this.#commits };
    this.#blobs.set(key, kept);
    this.#parts.delete(part);
    return { size: kept.bytes.length, mtimeMs: kept.mtimeMs };
  }

  async reopen(key: StorageKey, part: PartKey): Promise<boolean> {
    const kept = this.#blobs.get(key);
    if (!kept) return false;
    this.#parts.set(part, new GrowingBytes(kept.bytes));
    this.#blobs.delete(key);
    return true;
  }

  async stat(key: StorageKey): Promise<BlobStat | undefined> {
    const kept = this.#blobs.get(key);
    return kept && { size: kept.bytes.length, mtimeMs: kept.mtimeMs };
  }

  isUnchanged(key: StorageKey, known: BlobStat): boolean {
    const kept = this.#blobs.get(key);
    return kept?.bytes.length === known.size && kept.mtimeMs === known.mtimeMs;
  }

  locate(key: StorageKey): ByteLocation {
    return { kind: "stream", open: (range) => this.read(key, range) };
  }

  async *read(key: StorageKey, range?: ByteRange): AsyncGenerator<Uint8Array> {
    const kept = this.#blobs.get(key);
    if (!kept) throw new Error(`there is no blob under ${key}`);
    yield range ? kept.bytes.subarray(range.start, range.end + 1) : kept.bytes;
  }

  async *list(): AsyncGenerator<StoredKey> {
    for (const [key, { length }] of this.#parts) yield { key, size: length, mtimeMs: 0 };
    for (const [key, { bytes, mtimeMs }] of this.#blobs) yield { key, size: bytes.length, mtimeMs };
  }

  async delete(keys: readonly (PartKey | StorageKey)[]): Promise<void> {
    for (const key of keys) {
      this.#parts.delete(key as PartKey);
      this.#blobs.delete(key as StorageKey);
    }
  }

  async checkRoom(): Promise<void> {}

  async checkReady(): Promise<void> {}

  #part(key: PartKey, atLeast: number = 0): GrowingBytes {
    const part = this.#parts.get(key);
    if (!part || part.length < atLeast) throw new Error(`the part file ${key} has fewer than ${atLeast} bytes`);
    return part;
  }

  #writer(key: PartKey): PartFile {
    return {
      append: async (bytes) => this.#part(key).append(bytes),
      truncate: async (size) => this.#part(key, size).truncate(size),
      flush: async () => {},
      sync: async () => {},
      [Symbol.asyncDispose]: async () => {},
    };
  }
}
