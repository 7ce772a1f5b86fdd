/** The blobs of a repository. */
import type { BlobFacts } from "../metadata/metadata-store.ts";
import type { Digest } from "../oci/digest.ts";
import { OciError } from "../oci/error.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import type { ByteRange } from "../lib/byte-range.ts";
import type { BlobSource, StorageKey } from "../storage/blob-store.ts";
import type { Backend } from "./backend.ts";
import { isSound } from "./blob-health.ts";
import { isHeld } from "./manifests.ts";
import { LocalUpload } from "./uploads.ts";
import type { BlobUpload, UploadOptions } from "./uploads.ts";

/** How the bytes of a blob are handed to a client. Nothing is open yet. */
export type BlobReply =
  | BlobSource
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  | { readonly kind: "redirect"; readonly url: URL };

export interface Blob {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  readonly createdAt: Date;
  /** The bytes of a range, or all. */
  read(range?: ByteRange): AsyncIterable<Uint8Array>;
  /** A file, a stream, bytes or a redirect: whatever costs least to send. */
  reply(): BlobReply;
  /**
   * Whether `find` would give the same again and write nothing, as long as nothing is committed. False also when that
   * cannot be said without waiting.
   */
  isUnchanged(): boolean;
}

/** Any method may be called at any time, also for the same digest. */
export interface BlobService {
  /** Whether `find` would give a blob: it is shown by this repository and its bytes are there. */
  exists(digest: Digest): Promise<boolean>;
  /** Undefined when the repository does not show the blob, or its bytes are damaged. */
  find(digest: Digest): Promise<Blob | undefined>;
  /**
   * As `find`; refused with `BLOB_UNKNOWN` on absence. With `renews: false` nobody is promised that it
   * stays: for those who only read.
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
    const facts = await this.#findSound(digest);
    if (!facts) return undefined;
    // A client that is told "exists" counts on it for a while: renew that promise before it is half over. A pull of an
    // image writes nothing: its manifest needs its blobs.
    const stale = renews && !facts.needed && facts.touchedAt + rules.leaseMs / 2 < clock.now();
    if (stale && !(await metadata.touchBlob(this.#name, digest))) return undefined;
    return new LocalBlob(this.#backend, facts);
  }

  async get(digest: Digest, { renews = true }: { readonly renews?: boolean } = {}): Promise<Blob> {
    return (await this.#find(digest, renews)) ?? this.#refuse(digest);
  }

  async delete(digest: Digest): Promise<void> {
    const { metadata, limits } = this.#backend;
    const result = await metadata.unlinkBlob(this.#name, digest, limits.fixedTagsOf(this.#name));
    if (result === "absent") this.#refuse(digest);
    if (result !== "done") throw isHeld(result, digest);
  }

  async mount(
    digest: Digest,
    from?: RepositoryName,
    mayRead: (name: RepositoryName) => boolean = () => true,
  ): Promise<Blob | undefined> {
    const { metadata } = this.#backend;
    const candidates = from === undefined ? await metadata.repositoriesWithBlob(digest, MOUNT_CANDIDATES) : [from];
    for (const candidate of candidates) {
      if (!mayRead(candidate)) continue;
      const blob = await new LocalBlobs(this.#backend, candidate).find(digest);
      if (blob && (await metadata.mountBlob(this.#name, candidate, digest))) return blob;
    }
    return undefined;
  }

  upload(options: UploadOptions = {}): Promise<BlobUpload> {
    return LocalUpload.begin(this.#backend, this.#name, options);
  }

  resume(id: string): Promise<BlobUpload | undefined> {
    return LocalUpload.resume(this.#backend, this.#name, id);
  }

  /** The facts of a blob whose bytes are there. */
  async #findSound(digest: Digest): Promise<BlobFacts | undefined> {
    const { metadata } = this.#backend;
    const facts = await metadata.findBlob(this.#name, digest);
    if (!facts || (await isSound(this.#backend, facts))) return facts;
    // Collected and pushed again since the row was read, it lies under another key now.
    const again = await metadata.findBlob(this.#name, digest);
    return again && (await isSound(this.#backend, again)) ? again : undefined;
  }

  /** The same when there is no such repository: clients take nothing else for "not found". */
  #refuse(digest: Digest): never {
    throw new OciError("BLOB_UNKNOWN", { detail: { name: this.#name, digest } });
  }
}

class LocalBlob implements Blob {
  readonly #backend: Backend;
  readonly #facts: BlobFacts;
  /** What was found in this turn of the event loop. */
  #isUnchanged: boolean | undefined;

  constructor(backend: Backend, facts: BlobFacts) {
    this.#backend = backend;
    this.#facts = facts;
  }

  get digest(): Digest {
    return this.#facts.digest;
  }

  get size(): number {
    return this.#facts.size;
  }

  get createdAt(): Date {
    return new Date(this.#facts.createdAt);
  }

  read(range?: ByteRange): AsyncIterable<Uint8Array> {
    const { at } = this.#facts;
    if (at.kind === "stored") return this.#backend.store.read(at.storageKey as StorageKey, range);
    return once(range ? at.payload.subarray(range.start, range.end + 1) : at.payload);
  }

  reply(): BlobReply {
    const { at } = this.#facts;
    if (at.kind === "inline") return { kind: "bytes", bytes: at.payload };
    return this.#backend.store.source(at.storageKey as StorageKey);
  }

  isUnchanged(): boolean {
    const { at, needed, size } = this.#facts;
    if (!needed) return false; // the promise that it stays is renewed in time
    if (at.kind === "inline") return true;
    if (this.#isUnchanged === undefined) {
      this.#isUnchanged = this.#backend.store.isUnchanged(at.storageKey as StorageKey, { size, mtimeMs: at.mtimeMs });
      setImmediate(() => (this.#isUnchanged = undefined)); // before the next requests are read from their sockets
    }
    return this.#isUnchanged;
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
