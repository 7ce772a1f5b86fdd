/** The blobs of a repository. */
import type { BlobRecord } from "../metadata/blobs.ts";
import type { Digest } from "../oci/digest.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import { blobUnknown } from "../oci/unknown.ts";
import { once } from "../lib/byte-location.ts";
import type { ByteLocation, Fingerprint } from "../lib/byte-location.ts";
import type { ByteRange } from "../lib/byte-range.ts";
import { MissingBlobError } from "../storage/blob-store.ts";
import type { StorageKey } from "../storage/blob-store.ts";
import type { Backend } from "./backend.ts";
import { isIntact } from "./blob-health.ts";
import { isHeld } from "./manifests.ts";
import { allowedByQuotas } from "./quota-refusal.ts";
import { LocalUpload } from "./uploads.ts";
import type { BlobUpload, UploadOptions } from "./uploads.ts";

export interface Blob {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  readonly createdAt: Date;
  /** The bytes of a range, or all. */
  read(range?: ByteRange): AsyncIterable<Uint8Array>;
  /** Where the bytes are to be had: in a file, in memory, or behind a stream. */
  location(): ByteLocation;
  /**
   * What `find` rests on: as long as the revision of the repository is the same, and `Namespace.isUnchanged` says so of the
   * file, it returns the same and writes nothing. Undefined when it may have to renew the lease of the blob.
   */
  readonly validity: BlobValidity | undefined;
}

export interface BlobValidity {
  /** Of the file that holds the bytes; undefined when they are in the database. */
  readonly file: Fingerprint | undefined;
}

/** Any method may be called at any time, also for the same digest. */
export interface BlobService {
  /** Whether `find` would give a blob: it is shown by this repository and its bytes are there. */
  exists(digest: Digest): Promise<boolean>;
  /** Undefined when the repository does not show the blob, or its bytes are damaged. */
  find(digest: Digest): Promise<Blob | undefined>;
  /**
   * As `find`; refused with `BLOB_UNKNOWN` on absence. With `renews: false` there is no promise that it
   * stays: for callers that only read.
   */
  get(digest: Digest, options?: { readonly renews?: boolean }): Promise<Blob>;
  /**
   * Takes the blob out of this repository alone; refused as `get` is when it is not in it, and with `DENIED` when a tag that
   * stays needs it.
   */
  delete(digest: Digest): Promise<void>;
  /**
   * Shows a blob of another repository here without a transfer. Undefined when `from` does not show it. Without `from`
   * any repository that `mayRead` allows will do.
   */
  mount(digest: Digest, from?: RepositoryName, mayRead?: (name: RepositoryName) => boolean): Promise<Blob | undefined>;
  /** Begins an upload. */
  upload(options?: UploadOptions): Promise<BlobUpload>;
  /** Goes on with an upload, also one that another process began. Undefined when there is none of that id here. */
  resume(id: string): Promise<BlobUpload | undefined>;
}

/** How many repositories are asked for a blob that may be in any of them. */
const MOUNT_CANDIDATES = 100;

export class LocalBlobs implements BlobService {
  readonly #backend: Backend;
  readonly #name: RepositoryName;

  constructor(backend: Backend, name: RepositoryName) {
    this.#backend = backend;
    this.#name = name;
  }

  async exists(digest: Digest): Promise<boolean> {
    return (await this.find(digest)) !== undefined;
  }

  find(digest: Digest): Promise<Blob | undefined> {
    return this.#find(digest, true);
  }

  async #find(digest: Digest, renews: boolean): Promise<Blob | undefined> {
    const { metadata, clock, rules } = this.#backend;
    const record = await this.#findIntact(digest);
    if (!record) return undefined;
    // A client that is told "exists" counts on it for a while: renew that promise before it is half over. A pull of an
    // image writes nothing: its manifest needs its blobs.
    const stale = renews && !record.referenced && record.leasedAt + rules.leaseMs / 2 < clock.now();
    if (stale && !(await metadata.blobs.renewLease(this.#name, digest))) return undefined;
    return new LocalBlob(this.#backend, record);
  }

  async get(digest: Digest, { renews = true }: { readonly renews?: boolean } = {}): Promise<Blob> {
    const found = await this.#find(digest, renews);
    if (!found) throw blobUnknown(this.#name, digest);
    return found;
  }

  async delete(digest: Digest): Promise<void> {
    const { metadata, limits, cause } = this.#backend;
    const result = await metadata.blobs.unlink(this.#name, digest, limits.immutableTagsOf(this.#name), cause);
    if (result === "absent") throw blobUnknown(this.#name, digest);
    if (result !== "done") throw isHeld(result, digest);
  }

  async mount(
    digest: Digest,
    from?: RepositoryName,
    mayRead: (name: RepositoryName) => boolean = () => true,
  ): Promise<Blob | undefined> {
    const { metadata, cause } = this.#backend;
    const candidates = from === undefined ? await metadata.blobs.repositoriesWith(digest, MOUNT_CANDIDATES) : [from];
    for (const candidate of candidates) {
      if (!mayRead(candidate)) continue;
      const blob = await new LocalBlobs(this.#backend, candidate).find(digest);
      if (blob && allowedByQuotas(await metadata.blobs.mount(this.#name, candidate, digest, cause))) return blob;
    }
    return undefined;
  }

  upload(options: UploadOptions = {}): Promise<BlobUpload> {
    return LocalUpload.begin(this.#backend, this.#name, options);
  }

  resume(id: string): Promise<BlobUpload | undefined> {
    return LocalUpload.resume(this.#backend, this.#name, id);
  }

  /** The record of a blob whose bytes are there. */
  async #findIntact(digest: Digest): Promise<BlobRecord | undefined> {
    const { metadata } = this.#backend;
    const record = await metadata.blobs.find(this.#name, digest);
    if (!record || (await isIntact(this.#backend, record))) return record;
    // Collected and pushed again since the row was read, it lies under another key now.
    const again = await metadata.blobs.find(this.#name, digest);
    return again && (await isIntact(this.#backend, again)) ? again : undefined;
  }
}

class LocalBlob implements Blob {
  readonly #backend: Backend;
  readonly #record: BlobRecord;

  constructor(backend: Backend, record: BlobRecord) {
    this.#backend = backend;
    this.#record = record;
  }

  get digest(): Digest {
    return this.#record.digest;
  }

  get size(): number {
    return this.#record.size;
  }

  get createdAt(): Date {
    return new Date(this.#record.createdAt);
  }

  read(range?: ByteRange): AsyncIterable<Uint8Array> {
    const { location } = this.#record;
    if (location.kind === "stored") {
      const key = location.storageKey as StorageKey;
      return this.#reading(key, this.#backend.store.read(key, range));
    }
    return once(range ? location.payload.subarray(range.start, range.end + 1) : location.payload);
  }

  location(): ByteLocation {
    const { location, size } = this.#record;
    if (location.kind === "inline") return { kind: "bytes", bytes: location.payload };
    const key = location.storageKey as StorageKey;
    const stored = this.#backend.store.locate(key, size);
    if (stored.kind !== "stream") return stored;
    return { ...stored, open: (range) => this.#reading(key, stored.open(range)) };
  }

  /** That the bytes are gone is recorded: the blob is missing from then on, until the next push of its bytes. */
  async *#reading(key: StorageKey, bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    try {
      yield* bytes;
    } catch (error) {
      if (error instanceof MissingBlobError) await this.#backend.metadata.blobs.markCorrupt(this.digest, key);
      throw error;
    }
  }

  get validity(): BlobValidity | undefined {
    const { location, referenced } = this.#record;
    if (!referenced) return undefined;
    return {
      file: location.kind === "inline" ? undefined : { key: location.storageKey, value: location.fingerprint },
    };
  }
}
