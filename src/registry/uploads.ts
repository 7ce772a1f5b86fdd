/** Uploads of blobs into a repository. */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { UploadRecord } from "../metadata/uploads.ts";
import { algorithmOf } from "../oci/digest.ts";
import type { Algorithm, Digest } from "../oci/digest.ts";
import { OciError } from "../oci/error.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import { uploadUnknown } from "../oci/unknown.ts";
import type { Backend } from "./backend.ts";
import { BrokenBodyError } from "../lib/broken-body-error.ts";
import { BusyError } from "../lib/busy-error.ts";
import { busyUpload } from "./upload-claims.ts";
import type { UploadClaim } from "./upload-claims.ts";
import { allowedByQuotas } from "./quota-refusal.ts";
import { UploadWriter } from "./upload-writer.ts";

/** Milliseconds for which the question where an upload stands waits for a request that writes to it … */
const WRITER_ENDS_MS = 1000;
/** … and after which it looks again. */
const WRITER_POLL_MS = 10;

export interface UploadOptions {
  /** The algorithm of the digest that the upload will be closed with, when it is known early. */
  readonly algorithm?: Algorithm;
  /** How many bytes will come, when that is known: refused at once when they cannot fit. */
  readonly announced?: number;
  /** The client that begins it, which may not have too many unfinished ones; not counted when absent. */
  readonly client?: string | undefined;
}

/** Where bytes belong, when the sender says so. */
export interface ChunkPlace {
  /** Refused unless this is where the upload stands. */
  readonly start?: number;
  /** Refused unless exactly this many bytes come. Absent for a stream of unknown length. */
  readonly length?: number;
  /** How many bytes will come, when that is known: refused at once when they cannot fit. */
  readonly announced?: number | undefined;
}

/**
 * A blob on its way. One writer at a time: a second one is refused with status 409, in whatever process it is. A
 * method that is refused with `BLOB_UPLOAD_UNKNOWN` found that the upload has ended.
 */
export interface BlobUpload {
  readonly id: string;
  readonly startedAt: Date;
  /** Bytes that count so far, as this handle last knew. */
  readonly size: number;

  /**
   * Adds bytes, read from a stream, and gives the new size; they are durable when it resolves. Bytes whose length was
   * given are taken all or not at all. Of others, what came before the stream broke is kept and counted, unless `tell` has
   * said since that the upload stands before them, and the break is passed on.
   */
  append(bytes: AsyncIterable<Uint8Array>, place?: ChunkPlace): Promise<number>;

  /**
   * Closes the upload with what may still come, and verifies every digest; resolves when the blob is durable and in
   * the repository. When the content does not match, the upload is gone (`DIGEST_INVALID`); after any other refusal or
   * fault it is as it was before. When `signal` aborts, hashing ends and the call rejects with `BrokenBodyError`.
   */
  finish(
    digests: readonly [Digest, ...Digest[]],
    bytes?: AsyncIterable<Uint8Array>,
    place?: ChunkPlace,
    signal?: AbortSignal,
  ): Promise<void>;

  /**
   * The size, for a client that has lost track of its requests and goes on from there; undefined when the upload has ended.
   * From then on a stream that is being received, and breaks, adds nothing.
   */
  tell(): Promise<number | undefined>;

  /** Ends the upload; nothing of it stays. */
  cancel(): Promise<void>;
}

export class LocalUpload implements BlobUpload {
  readonly #backend: Backend;
  readonly #name: RepositoryName;
  #record: UploadRecord;
  /** The last commit as of which the record is known. */
  #lastCommit: number;

  private constructor(backend: Backend, name: RepositoryName, record: UploadRecord, lastCommit: number) {
    this.#backend = backend;
    this.#name = name;
    this.#record = record;
    this.#lastCommit = lastCommit;
  }

  static async begin(backend: Backend, name: RepositoryName, options: UploadOptions): Promise<LocalUpload> {
    const { store, metadata, clock, limits } = backend;
    const { announced, client } = options;
    await store.checkRoom(announced ?? 0); // better refused now than after a gigabyte
    const id = randomUUID();
    const partKey = store.partKey(id);
    const algorithm = options.algorithm ?? "sha256";
    const startedAt = clock.now();
    const expiresAt = startedAt + limits.uploadExpiryMs;
    const begunBy = client !== undefined && limits.openUploads > 0 ? { client, atMost: limits.openUploads } : undefined;
    const intent = { id, partKey, algorithm, expiresAt, announced, begunBy };
    const created = allowedByQuotas(await metadata.uploads.create(name, intent));
    if (created === "too many") throw tooManyUploads(client, limits.openUploads);
    const record = {
      id,
      partKey,
      partState: undefined,
      finalKey: undefined,
      algorithm,
      startedAt,
      staged: undefined,
      received: 0,
      digestSoFar: undefined,
      version: 1,
      claimedBy: undefined,
      told: 0,
    };
    return new LocalUpload(backend, name, record, metadata.lastCommit()); // no other writer knows of it yet
  }

  static async resume(backend: Backend, name: RepositoryName, id: string): Promise<LocalUpload | undefined> {
    const lastCommit = backend.metadata.lastCommit();
    const record = await backend.metadata.uploads.find(name, id);
    return record && new LocalUpload(backend, name, record, lastCommit);
  }

  get id(): string {
    return this.#record.id;
  }

  get startedAt(): Date {
    return new Date(this.#record.startedAt);
  }

  get size(): number {
    return this.#record.received;
  }

  async append(bytes: AsyncIterable<Uint8Array>, place: ChunkPlace = {}): Promise<number> {
    await using claim = await this.#backend.claims.take(this.id);
    await this.#refresh();
    this.#checkStart(place);
    await this.#checkRoom(place);
    await using writer = await this.#open(claim, place);
    try {
      await this.#take(writer, bytes, place);
    } catch (error) {
      await writer.rollBack();
      throw await this.#explain(error);
    }
    return this.size;
  }

  async finish(
    digests: readonly [Digest, ...Digest[]],
    bytes?: AsyncIterable<Uint8Array>,
    place: ChunkPlace = {},
    signal?: AbortSignal,
  ): Promise<void> {
    await using claim = await this.#backend.claims.take(this.id);
    await this.#refresh();
    this.#checkStart(place);
    const [digest] = digests;
    const expected = onePerAlgorithm(digests);
    if ("contradiction" in expected) throw await this.#mismatch(expected.contradiction, this.#record.version);
    await this.#checkRoom(place);
    await using writer = await this.#open(claim, place, expected);
    try {
      if (bytes) await writer.writeAll(bytes);
      this.#checkLength(writer, place);
      const mismatch = await writer.findMismatch(expected, signal);
      if (mismatch) throw await this.#mismatch(mismatch, writer.version);
      if (!(await writer.finish(digest))) throw busyUpload(this.id);
    } catch (error) {
      await writer.rollBack();
      throw await this.#explain(error);
    }
    this.#backend.hashStates.delete(this.id);
  }

  async tell(): Promise<number | undefined> {
    const { metadata } = this.#backend;
    await this.#writerEnds();
    try {
      return await metadata.uploads.tell(this.#name, this.id);
    } catch {
      // Where a database cannot be written to, no stream that breaks adds anything either.
      return (await metadata.uploads.find(this.#name, this.id))?.received;
    }
  }

  async cancel(): Promise<void> {
    this.#backend.hashStates.delete(this.id);
    if (!(await this.#backend.metadata.uploads.cancel(this.#name, this.id))) throw uploadUnknown(this.id);
  }

  /** Waits for a moment while another request receives bytes: that its connection broke is soon noticed, and what came counts. */
  async #writerEnds(): Promise<void> {
    const { claims, metadata } = this.#backend;
    const deadline = performance.now() + WRITER_ENDS_MS;
    while (performance.now() < deadline) {
      const holder = (await metadata.uploads.find(this.#name, this.id))?.claimedBy;
      const isHeld = holder !== undefined && (await metadata.holders.fateOf(holder)) === "runs";
      if (!isHeld && !claims.isAtWork(this.id)) return;
      await sleep(WRITER_POLL_MS);
    }
  }

  /** Knows again where the upload stands. */
  async #refresh(): Promise<void> {
    const lastCommit = this.#backend.metadata.lastCommit();
    if (lastCommit === this.#lastCommit) return;
    const record = await this.#backend.metadata.uploads.find(this.#name, this.id);
    if (!record) throw uploadUnknown(this.id);
    this.#record = record;
    this.#lastCommit = lastCommit;
  }

  /** Writes the bytes of one request and records them; those before a break too, when their number was not announced. */
  async #take(writer: UploadWriter, bytes: AsyncIterable<Uint8Array>, place: ChunkPlace): Promise<void> {
    try {
      await writer.writeAll(bytes);
    } catch (error) {
      if (error instanceof BrokenBodyError && place.length === undefined) await this.#save(writer, "broken");
      throw error;
    }
    this.#checkLength(writer, place);
    await this.#save(writer, "whole");
  }

  async #save(writer: UploadWriter, stream: "whole" | "broken"): Promise<void> {
    await writer.save(stream);
    this.#record = { ...this.#record, received: this.#record.received + writer.added };
  }

  async #open(claim: UploadClaim, { announced }: ChunkPlace, intents: readonly Digest[] = []): Promise<UploadWriter> {
    const writer = await UploadWriter.open(this.#backend, this.#record, claim, { intents, announced });
    if (writer) return writer;
    // Its bytes are lost: the client has to begin again.
    this.#backend.hashStates.delete(this.id);
    await this.#backend.metadata.uploads.cancel(this.#name, this.id, claim.version ?? this.#record.version);
    throw uploadUnknown(this.id);
  }

  #checkStart({ start }: ChunkPlace): void {
    if (start === undefined || start === this.size) return;
    // "If a chunk is uploaded out of order, the registry MUST respond with 416" (Pushing a blob in chunks).
    throw new OciError("BLOB_UPLOAD_INVALID", {
      status: 416,
      message: `the chunk begins at byte ${start}, but the upload stands at byte ${this.size}: go on from there`,
      detail: { id: this.id, start, size: this.size },
    });
  }

  /** Better refused now than after a gigabyte. Few bytes are refused when they are recorded, if they do not fit. */
  async #checkRoom({ announced = 0 }: ChunkPlace): Promise<void> {
    const { store, metadata, limits } = this.#backend;
    if (announced <= limits.inlineBytes) return;
    await store.checkRoom(announced);
    allowedByQuotas(await metadata.uploads.findProblem(this.id, this.size + announced));
  }

  #checkLength(writer: UploadWriter, { length }: ChunkPlace): void {
    if (length === undefined || length === writer.added) return;
    throw new OciError("SIZE_INVALID", {
      message: `Content-Range announced ${length} bytes, but ${writer.added} were received: send the chunk again`,
      detail: { id: this.id, announced: length, received: writer.added },
    });
  }

  /** A failure because a client cancelled the upload meanwhile is no internal error, and there is no other writer. */
  async #explain(error: unknown): Promise<unknown> {
    if (
      error instanceof BrokenBodyError ||
      error instanceof BusyError ||
      (error instanceof OciError && error.status !== 409)
    )
      return error;
    const record = await this.#backend.metadata.uploads.find(this.#name, this.id);
    return record ? error : uploadUnknown(this.id);
  }

  /**
   * Ends an upload whose content is not what its digest says, because sending more of it cannot help. One that another writer
   * has taken since goes on.
   */
  async #mismatch(expected: Digest, version: number): Promise<OciError> {
    this.#backend.hashStates.delete(this.id);
    await this.#backend.metadata.uploads.cancel(this.#name, this.id, version);
    return new OciError("DIGEST_INVALID", {
      message: "the received content does not have this digest: upload it again",
      detail: { digest: expected },
    });
  }
}

/** The digests without repetitions; or one whose algorithm another, different one has: no content has both. */
function onePerAlgorithm(digests: readonly Digest[]): readonly Digest[] | { readonly contradiction: Digest } {
  const expected = new Map<Algorithm, Digest>();
  for (const digest of digests) {
    const algorithm = algorithmOf(digest);
    if ((expected.get(algorithm) ?? digest) !== digest) return { contradiction: digest };
    expected.set(algorithm, digest);
  }
  return [...expected.values()];
}

function tooManyUploads(client: string | undefined, limit: number): OciError {
  return new OciError("TOOMANYREQUESTS", {
    message:
      `${client} has ${limit} uploads that are neither closed nor cancelled, and no more are allowed (limits.uploads): ` +
      "cancel them with DELETE, or wait until they expire",
    detail: { client, uploads: limit },
  });
}
