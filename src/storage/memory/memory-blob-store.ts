/** Blobs in the memory of the process: for tests and embedding. They are gone when it ends. */
import type { Digest } from "../../oci/digest.ts";
import type { ByteRange } from "../../lib/byte-range.ts";
import type { BlobSource, BlobStat, BlobStore, Draft, DraftKey, StorageKey, StoredKey } from "../blob-store.ts";

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
  readonly #drafts = new Map<DraftKey, GrowingBytes>();
  readonly #blobs = new Map<StorageKey, Kept>();
  #sealed = 0;

  draftKey(upload: string): DraftKey {
    return `draft/${upload}` as DraftKey;
  }

  storageKey(draft: DraftKey, digest: Digest): StorageKey {
    return `${digest}/${draft}` as StorageKey;
  }

  async stage(key: DraftKey): Promise<Draft> {
    this.#drafts.set(key, new GrowingBytes());
    return this.#writer(key);
  }

  async reopen(key: DraftKey, size: number): Promise<Draft | undefined> {
    const draft = this.#drafts.get(key);
    if (!draft || draft.length < size) return undefined;
    draft.truncate(size);
    return this.#writer(key);
  }

  async copyDraft(from: DraftKey, to: DraftKey, size: number): Promise<boolean> {
    const draft = this.#drafts.get(from);
    if (!draft || draft.length < size) return false;
    this.#drafts.set(to, new GrowingBytes(draft.first(size).slice()));
    return true;
  }

  async *readDraft(key: DraftKey, size: number): AsyncGenerator<Uint8Array> {
    yield this.#draft(key, size).first(size);
  }

  async seal(draft: DraftKey, key: StorageKey): Promise<BlobStat> {
    const arrived = this.#draft(draft);
    const kept = { bytes: arrived.first(arrived.length).slice(), mtimeMs: ++this.#sealed };
    this.#blobs.set(key, kept);
    this.#drafts.delete(draft);
    return { size: kept.bytes.length, mtimeMs: kept.mtimeMs };
  }

  async unseal(key: StorageKey, draft: DraftKey): Promise<boolean> {
    const kept = this.#blobs.get(key);
    if (!kept) return false;
    this.#drafts.set(draft, new GrowingBytes(kept.bytes));
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

  source(key: StorageKey): BlobSource {
    return { kind: "stream", open: (range) => this.read(key, range) };
  }

  async *read(key: StorageKey, range?: ByteRange): AsyncGenerator<Uint8Array> {
    const kept = this.#blobs.get(key);
    if (!kept) throw new Error(`there is no blob under ${key}`);
    yield range ? kept.bytes.subarray(range.start, range.end + 1) : kept.bytes;
  }

  async *list(): AsyncGenerator<StoredKey> {
    for (const [key, { length }] of this.#drafts) yield { key, size: length, mtimeMs: 0 };
    for (const [key, { bytes, mtimeMs }] of this.#blobs) yield { key, size: bytes.length, mtimeMs };
  }

  async delete(keys: readonly (DraftKey | StorageKey)[]): Promise<void> {
    for (const key of keys) {
      this.#drafts.delete(key as DraftKey);
      this.#blobs.delete(key as StorageKey);
    }
  }

  async checkRoom(): Promise<void> {}

  async checkReady(): Promise<void> {}

  #draft(key: DraftKey, atLeast: number = 0): GrowingBytes {
    const draft = this.#drafts.get(key);
    if (!draft || draft.length < atLeast) throw new Error(`the draft ${key} has fewer than ${atLeast} bytes`);
    return draft;
  }

  #writer(key: DraftKey): Draft {
    return {
      append: async (bytes) => this.#draft(key).append(bytes),
      truncate: async (size) => this.#draft(key, size).truncate(size),
      flush: async () => {},
      sync: async () => {},
      [Symbol.asyncDispose]: async () => {},
    };
  }
}
