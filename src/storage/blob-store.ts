/** The storage port: bytes under opaque keys. What the keys mean is known to `metadata/` alone. */
import type { ByteLocation } from "../lib/byte-location.ts";
import type { ByteRange } from "../lib/byte-range.ts";
import type { Digest } from "../oci/digest.ts";

declare const part: unique symbol;
declare const stored: unique symbol;

/** Names bytes that are still arriving. Made by the store that keeps them; never used twice. */
export type PartKey = string & { readonly [part]: "PartKey" };

/** Names a finished blob. Made by the store that keeps it; never used twice, so what it names cannot change. */
export type StorageKey = string & { readonly [stored]: "StorageKey" };

export interface BlobStat {
  /** Bytes. */
  readonly size: number;
  /** Modification time in milliseconds since 1970. A change means that another program wrote to the file. */
  readonly mtimeMs: number;
}

/** A key as the store has it. */
export interface StoredKey extends BlobStat {
  readonly key: PartKey | StorageKey;
}

/** The part file of an upload, held by one writer. Disposing closes it; synced bytes persist. */
export interface PartFile extends AsyncDisposable {
  /** Adds bytes at the end. The buffer may be used again when it resolves. */
  append(bytes: Uint8Array): Promise<void>;
  /** Cuts off what is behind the first `size` bytes. */
  truncate(size: number): Promise<void>;
  /** What was appended can be read and committed when it resolves; rejects when not all of it could be written. */
  flush(): Promise<void>;
  /** Durable when it resolves: the bytes, and the name they are found by. */
  sync(): Promise<void>;
}

/**
 * Bytes under opaque keys. A key is given once, never again: what it names cannot change, and is gone when deleted.
 * Every method may be called concurrently for different keys; one part file has one writer, as its claim in the
 * upload's row says.
 */
export interface BlobStore {
  /** The name for bytes of an upload; `upload` is an id that is never used twice. */
  partKey(upload: string): PartKey;

  /** The name of the blob that a part file shall become. */
  storageKey(part: PartKey, digest: Digest): StorageKey;

  /** A place for bytes that are still arriving, empty. Nobody sees them before `commit`. */
  stage(key: PartKey): Promise<PartFile>;

  /** Goes on with a part file after its first `size` bytes. Undefined when it is not there, or has fewer. */
  resume(key: PartKey, size: number): Promise<PartFile | undefined>;

  /**
   * Copies the first `size` bytes of a part file into a fresh one, for a writer that takes over from one that may wake up;
   * durable when it resolves. False when they are not there.
   */
  copyPart(from: PartKey, to: PartKey, size: number): Promise<boolean>;

  /** The first `size` bytes of a part file, to hash them again. */
  readPart(key: PartKey, size: number): AsyncIterable<Uint8Array>;

  /**
   * Makes a part file a blob under `key`, whole or not at all. Durable when it resolves: the bytes, the name and every
   * folder above it. Rejects, and leaves the part file, when the disk says no; never tried again by itself.
   */
  commit(part: PartKey, key: StorageKey): Promise<BlobStat>;

  /**
   * Takes a commit back that nothing came to refer to, because the process died or the database refused: the part file is there
   * again. False when there is no such blob. Only for the holder of the upload's claim.
   */
  reopen(key: StorageKey, part: PartKey): Promise<boolean>;

  /** Undefined when the store has no such blob. */
  stat(key: StorageKey): Promise<BlobStat | undefined>;

  /** Whether `stat` would give exactly this now. False also when that cannot be said without waiting. */
  isUnchanged(key: StorageKey, known: BlobStat): boolean;

  /** Returns where the `size` bytes of a blob are to be had for a reply; opens nothing. */
  locate(key: StorageKey, size: number): ByteLocation;

  /** The bytes themselves, for reading inside the process. */
  read(key: StorageKey, range?: ByteRange): AsyncIterable<Uint8Array>;

  /** All part files and blobs, unordered; concurrent changes may or may not be included. */
  list(): AsyncIterable<StoredKey>;

  /** Keys that are not there are no error. */
  delete(keys: readonly (PartKey | StorageKey)[]): Promise<void>;

  /** Rejects as a full disk does (an error with the code `ENOSPC`) when there is no room for `bytes` more. */
  checkRoom(bytes: number): Promise<void>;

  /** Rejects, saying why, when the store could not take a blob now. */
  checkReady(): Promise<void>;
}
