/** Blobs as objects in a bucket. `layout.ts` draws the tree. */
import { setTimeout as sleep } from "node:timers/promises";
import type { ByteLocation } from "../../lib/byte-location.ts";
import type { ByteRange } from "../../lib/byte-range.ts";
import type {
  BlobStat,
  BlobStore,
  CountedPart,
  Ending,
  Part,
  PartKey,
  PartState,
  PartWriter,
  StorageKey,
  StoredKey,
  WriteOptions,
} from "../blob-store.ts";
import { BucketFiles } from "./bucket-files.ts";
import { BLOBS, UPLOADS, blobKey, meaningOf, multipartKey, partKey, partOfKey, tailKey } from "./layout.ts";
import { ObjectReader } from "./object-reader.ts";
import { Objects } from "./objects.ts";
import type { ObjectStat } from "./objects.ts";
import { S3Client } from "./s3-client.ts";
import { S3Error, isAbsent } from "./s3-error.ts";
import { DEFAULT_PART_BYTES } from "../s3-options.ts";
import type { S3Options } from "../s3-options.ts";
import { parsePartState, writePartState } from "./s3-part-state.ts";
import type { MultipartState } from "./s3-part-state.ts";
import { S3PartWriter, copyParts } from "./s3-part-writer.ts";
import type { PartWriterContext } from "./s3-part-writer.ts";
import { S3StoreIdentity } from "./s3-store-identity.ts";
import { UploadMemory } from "./upload-memory.ts";

/** Bytes of all uploads together that are in memory at a time. */
const UPLOAD_MEMORY_BYTES = 256 * 1024 * 1024;

/** Milliseconds that closing waits for deletions: what stays is found by the integrity check. */
const DISCARD_MS = 2000;

/** Objects that are deleted at the same time. */
const DELETES_AT_ONCE = 8;

export class S3BlobStore implements BlobStore {
  readonly identity: S3StoreIdentity;
  /** What distribution has written to the bucket. */
  readonly files: BucketFiles;
  readonly #client: S3Client;
  readonly #objects: Objects;
  readonly #reader: ObjectReader;
  readonly #context: PartWriterContext;
  readonly #redirects: boolean;
  /** Deletions in the background. */
  readonly #discarding = new Set<Promise<void>>();

  constructor(options: S3Options) {
    this.#client = new S3Client(options);
    this.#objects = new Objects(this.#client, options.objectHeaders);
    this.#reader = new ObjectReader(this.#client);
    this.identity = new S3StoreIdentity(this.#objects, this.#client);
    this.files = new BucketFiles(this.#client, this.#objects);
    this.#redirects = options.redirect !== undefined;
    this.#context = {
      objects: this.#objects,
      memory: new UploadMemory(options.uploadMemoryBytes ?? UPLOAD_MEMORY_BYTES),
      partBytes: options.partBytes ?? DEFAULT_PART_BYTES,
      read: (key, start, end) => this.#reader.read(key, { start, end }),
      discardLater: (keys) => this.#discardLater(keys),
    };
  }

  partKey(upload: string): PartKey {
    return partKey(upload);
  }

  storageKey(part: PartKey): StorageKey {
    return blobKey(part);
  }

  async begin(key: PartKey, { announced }: WriteOptions = {}): Promise<PartWriter> {
    return new S3PartWriter(this.#context, { key, state: undefined, size: 0, announced });
  }

  async resume(
    { key, state: text, size }: CountedPart,
    { announced }: WriteOptions = {},
  ): Promise<PartWriter | undefined> {
    if (text === undefined) return undefined;
    const state = parsePartState(text);
    const isThere =
      state.kind === "object"
        ? hasBytes(await this.#objects.head(blobKey(key)), size)
        : await this.#objects.hasUpload(blobKey(key), state.upload);
    return isThere ? new S3PartWriter(this.#context, { key, state, size, announced }) : undefined;
  }

  /**
   * Parts of an unfinished multipart upload cannot be copied: it is completed, so that its writer can do no more with it, and the
   * object copied inside of S3. What that writer had completed itself is copied as well.
   */
  async takeOver(part: CountedPart, fresh: PartKey, ending: Ending): Promise<Part | undefined> {
    if (part.state === undefined) return undefined;
    const state = parsePartState(part.state);
    const key = blobKey(part.key);
    if (state.kind === "object") {
      if (!hasBytes(await this.#objects.head(key), part.size)) return undefined;
      if (!ending.mayWakeUp) return part;
      await this.#objects.copy(key, blobKey(fresh));
      // Whether it has more than what counts is found out when it is read.
      return { key: fresh, state: writePartState({ ...state, etag: "", size: part.size }) };
    }
    const isCommitted = hasBytes(await this.#objects.head(key), part.size);
    if (!isCommitted && !ending.mayWakeUp) return part;
    const partsBytes = state.parts.length * state.partBytes;
    if (!isCommitted && !(await this.#completed(key, state, partsBytes))) return undefined;
    const tailBytes = part.size - partsBytes;
    const tail = tailBytes > 0 ? tailKey(fresh, part.size) : undefined;
    if (tail !== undefined) {
      const from = isCommitted ? { key, start: partsBytes } : { key: state.tail ?? "", start: 0 };
      await this.#copyTail(from.key, from.start, tailBytes, tail);
    }
    const copied = await copyParts(this.#objects, state, key, fresh);
    return { key: fresh, state: writePartState({ ...state, ...copied, tail }) };
  }

  async forget({ key, state: text }: Part, recordedText: PartState | undefined): Promise<void> {
    const state = text === undefined ? undefined : parsePartState(text);
    if (state?.kind !== "multipart") return; // an object has the key of the blob, which the next writer writes to
    const parsed = recordedText === undefined ? undefined : parsePartState(recordedText);
    const recorded = parsed?.kind === "multipart" ? parsed : undefined;
    if (state.tail !== undefined && state.tail !== recorded?.tail) await this.#objects.delete(state.tail);
    if (state.upload !== recorded?.upload) await this.#objects.abortUpload(blobKey(key), state.upload);
  }

  async stat(key: StorageKey): Promise<BlobStat | undefined> {
    const found = await this.#objects.head(key);
    return found && { size: found.size, fingerprint: `${found.size} ${found.etag}` };
  }

  /** Only the registry writes to the bucket; that an object is gone is found out when it is read. */
  isUnchanged(): boolean {
    return true;
  }

  locate(key: StorageKey, size: number): ByteLocation {
    return {
      kind: "stream",
      open: (range) => this.#reader.read(key, range ?? { start: 0, end: size - 1 }),
      ...(this.#redirects ? { address: () => this.#client.presign(key) } : {}),
    };
  }

  async *read(key: StorageKey, range?: ByteRange): AsyncGenerator<Uint8Array> {
    yield* this.#reader.read(key, range);
  }

  async *list(): AsyncGenerator<StoredKey> {
    for (const top of [BLOBS, UPLOADS]) {
      for await (const { key, size, modifiedAt } of this.#objects.list(top)) {
        const part = partOfKey(key);
        yield { key: key as StorageKey, size, modifiedAt, ...(part === undefined ? {} : { part }) };
      }
    }
    for await (const { key, startedAt } of this.#objects.listUploads(BLOBS)) {
      const part = partOfKey(key);
      if (part !== undefined) yield { key: multipartKey(key), size: 0, modifiedAt: startedAt, part, isUpload: true };
    }
  }

  async delete(keys: readonly (PartKey | StorageKey)[]): Promise<void> {
    const left = keys.values();
    const deleteLeft = async (): Promise<void> => {
      for (const key of left) await this.#delete(key);
    };
    await Promise.all(Array.from({ length: DELETES_AT_ONCE }, deleteLeft));
  }

  async checkRoom(): Promise<void> {}

  async checkReady(): Promise<void> {
    await this.identity.read();
  }

  async close(): Promise<void> {
    await Promise.race([Promise.all(this.#discarding), sleep(DISCARD_MS, undefined, { ref: false })]);
    this.#client.close();
  }

  async #delete(key: PartKey | StorageKey): Promise<void> {
    const meaning = meaningOf(key);
    switch (meaning.kind) {
      case "object":
        return await this.#objects.delete(key);
      case "upload of distribution":
        await this.#abortUploads(key);
        return await this.#objects.delete(key);
      case "multipart":
        return await this.#abortUploads(meaning.blob);
      case "part": {
        const blob = blobKey(meaning.part);
        await this.#abortUploads(blob);
        await this.#objects.delete(blob);
        for await (const tail of this.#objects.list(`${meaning.part}/`)) await this.#objects.delete(tail.key);
      }
    }
  }

  async #abortUploads(blob: string): Promise<void> {
    for await (const { key, upload } of this.#objects.listUploads(blob)) {
      if (key === blob) await this.#objects.abortUpload(key, upload);
    }
  }

  /** Completes what another writer has begun. False when that is not there, neither as parts nor as an object. */
  async #completed(key: StorageKey, { upload, parts }: MultipartState, bytes: number): Promise<boolean> {
    try {
      await this.#objects.completeUpload(key, upload, parts);
      return true;
    } catch (error) {
      if (hasBytes(await this.#objects.head(key), bytes)) return true;
      if (isAbsent(error) || (error instanceof S3Error && error.s3Code === "InvalidPart")) return false;
      throw error;
    }
  }

  async #copyTail(from: string, start: number, size: number, to: string): Promise<void> {
    using borrowed = await this.#context.memory.borrow(size);
    let at = 0;
    for await (const piece of this.#reader.read(from, { start, end: start + size - 1 })) {
      borrowed.buffer.set(piece, at);
      at += piece.length;
    }
    await this.#objects.put(to, borrowed.buffer);
  }

  #discardLater(keys: readonly string[]): void {
    for (const key of keys) {
      // What stays is found by the integrity check.
      const done: Promise<void> = this.#objects
        .delete(key)
        .catch(() => undefined)
        .finally(() => void this.#discarding.delete(done));
      this.#discarding.add(done);
    }
  }
}

function hasBytes(found: ObjectStat | undefined, bytes: number): boolean {
  return found !== undefined && found.size >= bytes;
}
