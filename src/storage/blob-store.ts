/** The storage port: bytes under opaque keys. What the keys mean is known to `metadata/` alone. */
import type { ByteLocation } from "../lib/byte-location.ts";
import type { ByteRange } from "../lib/byte-range.ts";
import type { Digest } from "../oci/digest.ts";

declare const part: unique symbol;
declare const state: unique symbol;
declare const stored: unique symbol;

/** Names bytes that are still arriving, and all that a store makes for them. Never used twice. */
export type PartKey = string & { readonly [part]: "PartKey" };

/** What a store has to know to continue an upload: JSON that only the store reads. The row keeps it beside the bytes that count. */
export type PartState = string & { readonly [state]: "PartState" };

/** Names a finished blob. Made by the store that keeps it; never used twice, so what it names cannot change. */
export type StorageKey = string & { readonly [stored]: "StorageKey" };

/** The bytes of an unfinished upload, as its row has them. The state is undefined where the key says everything. */
export interface Part {
  readonly key: PartKey;
  readonly state: PartState | undefined;
}

/** A part whose first `size` bytes count. */
export interface CountedPart extends Part {
  readonly size: number;
}

export interface BlobStat {
  /** Bytes. */
  readonly size: number;
  /** Changes when another program writes to the blob. Opaque; two are equal or not. */
  readonly fingerprint: string;
}

/** A key as the store has it. */
export interface StoredKey {
  readonly key: PartKey | StorageKey;
  /** Bytes. */
  readonly size: number;
  /** When it was last written to, in milliseconds since 1970. */
  readonly modifiedAt: number;
  /** The part that it was made for, when its own key does not say so. */
  readonly part?: PartKey;
  /** Whether it is an unfinished upload without bytes that can be seen. */
  readonly isUpload?: boolean;
}

/** Writes the bytes of an upload; there is one writer at a time. Disposing of it drops what no checkpoint covers. */
export interface PartWriter extends AsyncDisposable {
  /** Adds bytes at the end. The buffer may be used again when it resolves. */
  append(bytes: Uint8Array): Promise<void>;
  /** Makes all bytes durable; resolves with the state to record beside their number. */
  checkpoint(): Promise<PartState | undefined>;
  /**
   * Makes the bytes a blob under `key`, whole or not at all. Durable when it resolves: the bytes and the name. May be called
   * again after it has rejected.
   */
  commit(key: StorageKey): Promise<BlobStat>;
}

/** What is known of an upload when its writer is opened. */
export interface WriteOptions {
  /** How many bytes will come, when the client says so. */
  readonly announced?: number | undefined;
}

/** How the last writer of an upload ended. */
export interface Ending {
  /** The key under which it may have committed the bytes: no record names that. */
  readonly committedAs: StorageKey | undefined;
  /** Whether it may continue at any time, because it sleeps. */
  readonly mayWakeUp: boolean;
}

/**
 * Bytes under opaque keys. A key is given once, never again: what it names cannot change, and is gone when deleted.
 * Every method may be called concurrently for different keys; one part has one writer, as its claim in the upload's row says.
 */
export interface BlobStore {
  /** The name for bytes of an upload; `upload` is an id that is never used twice. */
  partKey(upload: string): PartKey;

  /**
   * The name of the blob that a part shall become. `attempt` tells it from names that were announced for other digests before;
   * a store ignores it, and the digest, where a part can become one blob alone.
   */
  storageKey(part: PartKey, digest: Digest, attempt?: string): StorageKey;

  /** Opens a part that has no bytes that count. Its bytes are not visible before `commit`. */
  begin(key: PartKey, options?: WriteOptions): Promise<PartWriter>;

  /** Continues a part after the bytes that count. Undefined when they are lost. */
  resume(part: CountedPart, options?: WriteOptions): Promise<PartWriter | undefined>;

  /**
   * Makes the bytes of a part, whose writer ended without a word, ready for `resume`: in the same place, or under `fresh` when
   * that writer could disturb the next one there, or had committed what cannot be undone. Durable when it resolves; everything
   * under the key that is not returned is then garbage. Undefined when the bytes are lost.
   */
  takeOver(part: CountedPart, fresh: PartKey, ending: Ending): Promise<Part | undefined>;

  /**
   * Drops what belongs to a state of a part that no row will record, and to none that the upload goes on from, which began at
   * `recorded`. The part itself, and what another writer has made of it since, stay.
   */
  forget(part: Part, recorded: PartState | undefined): Promise<void>;

  /** Undefined when the store has no such blob. */
  stat(key: StorageKey): Promise<BlobStat | undefined>;

  /** Whether the blob still has this fingerprint: at once, where that can be said without waiting. Never rejects. */
  isUnchanged(key: StorageKey, fingerprint: string): boolean | Promise<boolean>;

  /** Returns where the `size` bytes of a blob are to be had for a reply; opens nothing. */
  locate(key: StorageKey, size: number): ByteLocation;

  /** The bytes themselves, for reading inside the process. Throws `MissingBlobError` when there is no such blob. */
  read(key: StorageKey, range?: ByteRange): AsyncIterable<Uint8Array>;

  /** All parts and blobs, unordered; concurrent changes may or may not be included. */
  list(): AsyncIterable<StoredKey>;

  /** Deletes blobs, and discards parts with everything that was made for them. Keys that are not there are no error. */
  delete(keys: readonly (PartKey | StorageKey)[]): Promise<void>;

  /** Rejects as a full disk does (an error with the code `ENOSPC`) when there is no room for `bytes` more. */
  checkRoom(bytes: number): Promise<void>;

  /** Rejects, saying why, when the store could not take a blob now. */
  checkReady(): Promise<void>;

  /** Ends what is under way. */
  close(): Promise<void>;
}

/** There are no bytes under a key. */
export class MissingBlobError extends Error {
  override readonly name = "MissingBlobError";
  /** As the system says it of a file. */
  readonly code = "ENOENT";

  constructor(key: string, options?: ErrorOptions) {
    super(`there is no blob under ${key}`, options);
  }
}
