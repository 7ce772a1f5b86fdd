/** Blobs in the memory of the process: for tests and embedding. They are gone when it ends. */
import type { Digest } from "../../oci/digest.ts";
import type { ByteRange } from "../../lib/byte-range.ts";
import type { BlobSource, BlobStat, BlobStore, Draft, DraftKey, StorageKey, StoredKey } from "../blob-store.ts";

interface Kept {
  readonly bytes: Uint8Array;
  readonly mtimeMs: number;
}

export class MemoryBlobStore implements BlobStore {
  readonly #drafts = new Map<DraftKey, Uint8Array>();
  readonly #blobs = new Map<StorageKey, Kept>();
  #sealed = 0;

  draftKey(upload: string): DraftKey {
    return `draft/${upload}` as DraftKey;
  }

  storageKey(draft: DraftKey, digest: Digest): StorageKey {
    return `${digest}/${draft}` as StorageKey;
  }

  async stage(key: DraftKey): Promise<Draft> {
    this.#drafts.set(key, new Uint8Array());
    return this.#writer(key);
  }

  async reopen(key: DraftKey, size: number): Promise<Draft | undefined> {
    if (!this.#holds(key, size)) return undefined;
    this.#drafts.set(key, this.#draft(key, size));
    return this.#writer(key);
  }

  async copyDraft(from: DraftKey, to: DraftKey, size: number): Promise<boolean> {
    if (!this.#holds(from, size)) return false;
    this.#drafts.set(to, this.#draft(from, size).slice());
    return true;
  }

  async *readDraft(key: DraftKey, size: number): AsyncGenerator<Uint8Array> {
    yield this.#draft(key, size);
  }

  async seal(draft: DraftKey, key: StorageKey): Promise<BlobStat> {
    const bytes = this.#draft(draft, 0, Infinity);
    const kept = { bytes, mtimeMs: ++this.#sealed };
    this.#blobs.set(key, kept);
    this.#drafts.delete(draft);
    return { size: bytes.length, mtimeMs: kept.mtimeMs };
  }

  async unseal(key: StorageKey, draft: DraftKey): Promise<boolean> {
    const kept = this.#blobs.get(key);
    if (!kept) return false;
    this.#drafts.set(draft, kept.bytes);
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
    for (const [key, bytes] of this.#drafts) yield { key, size: bytes.length, mtimeMs: 0 };
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

  #holds(key: DraftKey, size: number): boolean {
    return (this.#drafts.get(key)?.length ?? -1) >= size;
  }

  /** The first bytes of a draft: at least `atLeast` are there, at most `atMost` are given. */
  #draft(key: DraftKey, atLeast: number, atMost: number = atLeast): Uint8Array {
    const bytes = this.#drafts.get(key);
    if (!bytes || !this.#holds(key, atLeast)) throw new Error(`the draft ${key} has fewer than ${atLeast} bytes`);
    return bytes.subarray(0, atMost);
  }

  #writer(key: DraftKey): Draft {
    return {
      append: async (bytes) => {
        const before = this.#draft(key, 0, Infinity);
        const joined = new Uint8Array(before.length + bytes.length);
        joined.set(before);
        joined.set(bytes, before.length);
        this.#drafts.set(key, joined);
      },
      truncate: async (size) => void this.#drafts.set(key, this.#draft(key, size)),
      flush: async () => {},
      sync: async () => {},
      [Symbol.asyncDispose]: async () => {},
    };
  }
}
