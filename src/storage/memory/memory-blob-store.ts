/** Blobs in the memory of the process: for tests and embedding. They are gone when it ends. */
import type { Digest } from "../../oci/digest.ts";
import type { ByteLocation } from "../../lib/byte-location.ts";
import type { ByteRange } from "../../lib/byte-range.ts";
import { MissingBlobError } from "../blob-store.ts";
import type {
  BlobStat,
  BlobStore,
  CountedPart,
  Ending,
  Part,
  PartKey,
  PartWriter,
  StorageKey,
  StoredKey,
} from "../blob-store.ts";

interface Kept {
  readonly bytes: Uint8Array;
  readonly fingerprint: string;
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

  storageKey(part: PartKey, digest: Digest, attempt = ""): StorageKey {
    return `${digest}/${part}${attempt}` as StorageKey;
  }

  async begin(key: PartKey): Promise<PartWriter> {
    this.#parts.set(key, new GrowingBytes());
    return this.#writer(key, 0);
  }

  async resume({ key, size }: CountedPart): Promise<PartWriter | undefined> {
    const part = this.#parts.get(key);
    if (!part || part.length < size) return undefined;
    part.truncate(size);
    return this.#writer(key, size);
  }

  async takeOver(
    { key, state, size }: CountedPart,
    fresh: PartKey,
    { committedAs, mayWakeUp }: Ending,
  ): Promise<Part | undefined> {
    const committed = committedAs && this.#blobs.get(committedAs);
    if (committed) {
      this.#parts.set(key, new GrowingBytes(committed.bytes));
      this.#blobs.delete(committedAs);
    }
    const part = this.#parts.get(key);
    if (!part || part.length < size) return undefined;
    if (!mayWakeUp) return { key, state };
    this.#parts.set(fresh, new GrowingBytes(part.first(size).slice()));
    return { key: fresh, state };
  }

  /** There are no states. */
  async forget(): Promise<void> {}

  async stat(key: StorageKey): Promise<BlobStat | undefined> {
    const kept = this.#blobs.get(key);
    return kept && { size: kept.bytes.length, fingerprint: kept.fingerprint };
  }

  isUnchanged(key: StorageKey, fingerprint: string): boolean {
    return this.#blobs.get(key)?.fingerprint === fingerprint;
  }

  locate(key: StorageKey): ByteLocation {
    return { kind: "stream", open: (range) => this.read(key, range) };
  }

  async *read(key: StorageKey, range?: ByteRange): AsyncGenerator<Uint8Array> {
    const kept = this.#blobs.get(key);
    if (!kept) throw new MissingBlobError(key);
    yield range ? kept.bytes.subarray(range.start, range.end + 1) : kept.bytes;
  }

  async *list(): AsyncGenerator<StoredKey> {
    for (const [key, { length }] of this.#parts) yield { key, size: length, modifiedAt: 0 };
    for (const [key, { bytes }] of this.#blobs) yield { key, size: bytes.length, modifiedAt: 0 };
  }

  async delete(keys: readonly (PartKey | StorageKey)[]): Promise<void> {
    for (const key of keys) {
      this.#parts.delete(key as PartKey);
      this.#blobs.delete(key as StorageKey);
    }
  }

  async checkRoom(): Promise<void> {}

  async checkReady(): Promise<void> {}

  async close(): Promise<void> {}

  #commit(part: PartKey, key: StorageKey): BlobStat {
    const arrived = this.#part(part);
    const bytes = arrived.first(arrived.length).slice();
    const fingerprint = String(++this.#commits);
    this.#blobs.set(key, { bytes, fingerprint });
    this.#parts.delete(part);
    return { size: bytes.length, fingerprint };
  }

  #part(key: PartKey): GrowingBytes {
    const part = this.#parts.get(key);
    if (!part) throw new Error(`there is no part under ${key}`);
    return part;
  }

  #writer(key: PartKey, size: number): PartWriter {
    let counted = size;
    return {
      append: async (bytes) => this.#part(key).append(bytes),
      checkpoint: async () => {
        counted = this.#part(key).length;
        return undefined;
      },
      commit: async (as) => this.#commit(key, as),
      [Symbol.asyncDispose]: async () => this.#parts.get(key)?.truncate(counted),
    };
  }
}
