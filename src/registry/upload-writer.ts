/** Takes the bytes of one request into an upload: socket → hash → row or file. */
import { randomUUID } from "node:crypto";
import type { BlobLocation } from "../metadata/blobs.ts";
import type { UploadRecord } from "../metadata/uploads.ts";
import { Digester, algorithmOf } from "../oci/digest.ts";
import type { Algorithm, Digest } from "../oci/digest.ts";
import type { Part, PartKey, PartState, PartWriter, StorageKey } from "../storage/blob-store.ts";
import type { Backend } from "./backend.ts";
import { hashInTurns } from "./hash-turns.ts";
import { BrokenBodyError } from "../lib/broken-body-error.ts";
import { allowedByQuotas } from "./quota-refusal.ts";
import { busyUpload } from "./upload-claims.ts";
import type { UploadClaim } from "./upload-claims.ts";

/** Bytes that are reserved in quotas at once for a stream of unknown length. */
const RESERVED_AT_ONCE = 64 * 1024 * 1024;

/** What a request is about to do with an upload. */
export interface UploadPlan {
  /** The digests that the upload is about to be closed with; none when it is not. */
  readonly intents: readonly Digest[];
  /** How many bytes the request says that it brings. */
  readonly announced?: number | undefined;
}

type StoredLocation = Extract<BlobLocation, { readonly kind: "stored" }>;

/** Where the bytes of an upload are while a request writes to it. */
type Content =
  /** Few: in memory, and between requests in the row. */
  | { readonly kind: "staged"; readonly pieces: Uint8Array[] }
  /** In a part, whose writer is open; the claim is in the row. */
  | { readonly kind: "open"; readonly writer: PartWriter }
  /** In a part, whose writer is closed; the claim is given up until the client sends more. */
  | { readonly kind: "suspended" }
  /** Under their final key, to which no row refers yet. */
  | { readonly kind: "committed"; readonly location: StoredLocation }
  /** Recorded, or given up: nothing more is done. */
  | { readonly kind: "ended" };

/**
 * Writes to an upload for one request. While the bytes are few they stay in memory and then in the row; the first byte
 * beyond the limit makes the part file. Until `save` or `finish` nothing counts: after `rollBack`, or when the process
 * dies, the upload is as it was.
 */
export class UploadWriter implements AsyncDisposable {
  readonly #backend: Backend;
  readonly #record: UploadRecord;
  readonly #claim: UploadClaim;
  /** What the upload is about to be closed with, the first one in its final key; none when it is not. */
  readonly #intents: readonly Digest[];
  readonly #announced: number | undefined;
  /** For how many bytes of a part file there is room in the quotas. */
  #reserved = 0;
  #content: Content;
  #part: Part;
  /** The state of the part that the row names. */
  #recorded: PartState | undefined;
  /** Whether the part has a state of this writer that no record can name: `rollBack` makes the store forget it. */
  #isUnrecorded = false;
  /** Tells the blob's key from those that earlier writers of the part had announced. */
  #attempt: string;
  /** Hashes all bytes from the first on; undefined when another process took some of them. */
  readonly #digester: Digester | undefined;
  /** The hash as it was, to roll back to; undefined when nothing had come. */
  readonly #before: Digester | undefined;
  /** The version that the row has as long as no other writer has had the upload. */
  #version: number;
  #received: number;

  private constructor(backend: Backend, record: UploadRecord, claim: UploadClaim, plan: UploadPlan) {
    this.#backend = backend;
    this.#record = record;
    this.#claim = claim;
    this.#intents = plan.intents;
    this.#announced = plan.announced;
    this.#content = { kind: "staged", pieces: record.staged ? [record.staged] : [] };
    this.#recorded = record.partState as PartState | undefined;
    this.#part = { key: record.partKey as PartKey, state: this.#recorded };
    this.#attempt = record.finalKey === undefined ? "" : freshSuffix();
    this.#version = record.version;
    this.#received = record.received;
    this.#digester = this.#initialDigester();
    this.#before = record.received > 0 ? this.#digester?.copy() : undefined;
  }

  /**
   * Refused with 409 when another writer holds the upload. Undefined when the bytes that were recorded are lost.
   */
  static async open(
    backend: Backend,
    record: UploadRecord,
    claim: UploadClaim,
    plan: UploadPlan,
  ): Promise<UploadWriter | undefined> {
    const writer = new UploadWriter(backend, record, claim, plan);
    if (writer.#hasPartFile()) return (await writer.#reopenPart()) ? writer : undefined;
    if (record.claimedBy !== undefined || record.finalKey !== undefined) await writer.#takeOver();
    return writer;
  }

  /** The version of the upload's record while this writer has the upload. */
  get version(): number {
    return this.#version;
  }

  /** Bytes that came through this writer. */
  get added(): number {
    return this.#received - this.#record.received;
  }

  /** Rejects with `BrokenBodyError` when the source breaks, and with whatever else when the store does. */
  async writeAll(source: AsyncIterable<Uint8Array>): Promise<void> {
    const iterator = source[Symbol.asyncIterator]();
    const writer = { suspend: () => this.#suspend(), resume: () => this.#resume() };
    for (;;) {
      const next = iterator.next().catch((error: unknown) => {
        throw error instanceof BrokenBodyError ? error : new BrokenBodyError("the body broke off", { cause: error });
      });
      const step = await this.#claim.receive(next, writer);
      if (step.done) return;
      await this.#write(step.value);
    }
  }

  /**
   * Records what has arrived as part of the upload, durable, and gives the claim up. Of a stream that broke it is refused
   * with 409 when a client was told meanwhile where the upload stands: it goes on from there.
   */
  async save(stream: "whole" | "broken"): Promise<void> {
    await this.#resume();
    const { metadata, clock, limits, hashStates } = this.#backend;
    if (this.#content.kind === "open") await this.#checkpoint(this.#content.writer);
    this.#isUnrecorded = false; // whatever is heard of the statement, it may be recorded
    const saved = allowedByQuotas(
      await metadata.uploads.save({
        id: this.#record.id,
        version: this.#version,
        received: this.#received,
        partState: this.#part.state,
        digestSoFar: this.#digester?.digest("sha256"),
        staged: this.#content.kind === "staged" ? joined(this.#content.pieces) : undefined,
        expiresAt: clock.now() + limits.uploadExpiryMs,
        ...(stream === "broken" ? { told: this.#record.told } : {}),
      }),
    );
    if (saved === undefined) throw busyUpload(this.#record.id);
    this.#claim.released();
    if (this.#digester) hashStates.set(this.#record.id, saved, this.#digester);
    await this.#end();
  }

  /** Makes the upload as it was before this writer. Never rejects: what it cannot do, the next writer does. */
  async rollBack(): Promise<void> {
    if (this.#before) this.#backend.hashStates.set(this.#record.id, this.#version, this.#before);
    await this.#end().catch(() => undefined);
    if (!this.#isUnrecorded) return;
    this.#isUnrecorded = false;
    // What stays is found by the integrity check.
    await this.#backend.store.forget(this.#part, this.#recorded).catch(() => undefined);
  }

  /**
   * The first of `digests`, each of another algorithm, that all bytes together do not have; undefined when they have all.
   * Bytes that were not hashed with every algorithm are committed first and then read. Rejects with `BrokenBodyError` when
   * `signal` aborts meanwhile.
   */
  async findMismatch(digests: readonly Digest[], signal?: AbortSignal): Promise<Digest | undefined> {
    const known = new Map<Algorithm, Digest>();
    const unknown: Algorithm[] = [];
    for (const algorithm of digests.map(algorithmOf)) {
      const digest = this.#knownDigest(algorithm);
      if (digest) known.set(algorithm, digest);
      else unknown.push(algorithm);
    }
    if (unknown.length > 0) {
      const digester = await this.#hashAgain(unknown, digests, signal);
      for (const algorithm of unknown) known.set(algorithm, digester.digest(algorithm) as Digest);
    }
    return digests.find((digest) => known.get(algorithmOf(digest)) !== digest);
  }

  /** Turns the upload into a blob, durable. False when the upload had ended meanwhile. */
  async finish(digest: Digest): Promise<boolean> {
    const { store, metadata, cause } = this.#backend;
    const location = await this.#commit(digest);
    const [{ id }, version, size] = [this.#record, this.#version, this.#received];
    const done = allowedByQuotas(await metadata.uploads.finish({ id, version, digest, size, location }, cause));
    // When the statement fails, the bytes may be the blob of a row, whatever we get to hear of it: they are not touched. The
    // next writer finds their key in the row of the upload, if that is there, and takes them over.
    this.#claim.released();
    await this.#end();
    if (!done && location.kind === "stored") await store.delete([location.storageKey as StorageKey]);
    return done;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end();
  }

  /** Whether the upload's earlier bytes lie in a part file. */
  #hasPartFile(): boolean {
    return this.#record.received > 0 && this.#record.staged === undefined;
  }

  #fitsInline(): boolean {
    const { inlineBytes } = this.#backend.limits;
    return inlineBytes > 0 && this.#received <= inlineBytes;
  }

  #initialDigester(): Digester | undefined {
    const { id, version, received, staged, algorithm } = this.#record;
    if (this.#hasPartFile()) return this.#backend.hashStates.get(id, version)?.copy();
    // SHA-256 always; another algorithm when the client named it early.
    const algorithms = new Set<Algorithm>(["sha256", algorithm]);
    for (const intent of this.#intents) algorithms.add(algorithmOf(intent));
    const digester = Digester.of(...algorithms);
    if (staged && received > 0) digester.update(staged);
    return digester;
  }

  async #write(bytes: Uint8Array): Promise<void> {
    if (this.#digester) await hashInTurns(this.#digester, bytes);
    this.#received += bytes.length;
    if (this.#content.kind === "staged" && this.#fitsInline()) {
      this.#content.pieces.push(bytes.slice()); // the sender may use its buffer again
      return;
    }
    const writer = await this.#partWriter();
    if (this.#received > this.#reserved) await this.#reserve();
    await writer.append(bytes);
  }

  /** Makes sure that what has come fits into the quotas, before it lies on the disk. */
  async #reserve(): Promise<void> {
    const { id, received } = this.#record;
    const expected = received + (this.#announced ?? 0);
    const most = this.#received <= expected ? expected : this.#received + RESERVED_AT_ONCE;
    const { uploads } = this.#backend.metadata;
    const reserved = allowedByQuotas(await uploads.reserve(id, this.#version, this.#received, most));
    if (reserved === undefined) throw busyUpload(id);
    this.#reserved = reserved;
  }

  /** The writer of the part, which is begun, with the staged bytes in it, when the bytes were few until now. */
  async #partWriter(): Promise<PartWriter> {
    if (this.#content.kind === "open") return this.#content.writer;
    if (this.#content.kind !== "staged") throw new Error(`an upload that is ${this.#content.kind} takes no bytes`);
    const { pieces } = this.#content;
    if (this.#claim.version === undefined) await this.#hold(this.#announcedKey());
    else await this.#nameFinalKey();
    const writer = await this.#backend.store.begin(this.#part.key, this.#expected());
    this.#content = { kind: "open", writer };
    for (const piece of pieces) await writer.append(piece);
    return writer;
  }

  /** Continues the part of earlier requests. False when it is lost. */
  async #reopenPart(): Promise<boolean> {
    const { received, claimedBy, finalKey } = this.#record;
    const announced = claimedBy === undefined && finalKey === undefined;
    if (announced) await this.#hold(this.#announcedKey());
    // The row is still here, so nothing refers to what a writer that died, or failed at the last step, had committed. Its
    // key stays recorded until the bytes are a part again: dying here loses nothing either.
    else if (!(await this.#takeOver())) return false;
    if (!announced) await this.#nameFinalKey();
    return await this.#resumePart(received);
  }

  async #resumePart(size: number): Promise<boolean> {
    const writer = await this.#backend.store.resume({ ...this.#part, size }, this.#expected());
    if (writer) this.#content = { kind: "open", writer };
    return writer !== undefined;
  }

  /**
   * Takes what an earlier writer left when it ended without a word. Where that writer may wake up, or the store cannot undo what
   * it did, the upload continues under another key, so that nothing of it is disturbed. False when the bytes are lost.
   */
  async #takeOver(): Promise<boolean> {
    const { store, metadata, clock, limits } = this.#backend;
    const { id, received, finalKey } = this.#record;
    const { mayBeWritten } = await this.#hold();
    const fresh = this.#freshKey();
    let part: Part = { key: fresh, state: undefined };
    if (this.#hasPartFile()) {
      const mayMove = mayBeWritten || finalKey !== undefined;
      if (mayMove) await metadata.uploads.reservePart(fresh, clock.now() + limits.uploadExpiryMs);
      const ending = { committedAs: finalKey as StorageKey | undefined, mayWakeUp: mayBeWritten };
      const taken = await store.takeOver({ ...this.#part, size: received }, fresh, ending);
      if (!taken) return false;
      part = taken;
    }
    if (part.key === this.#part.key) return true;
    if (!(await metadata.uploads.move(id, this.#version, part))) throw busyUpload(id);
    this.#part = part;
    this.#recorded = part.state;
    this.#attempt = "";
    return true;
  }

  async #hold(finalKey?: StorageKey): Promise<{ readonly mayBeWritten: boolean }> {
    const held = await this.#claim.hold({ ...this.#record, version: this.#version }, finalKey);
    this.#version = held.version;
    return held;
  }

  /** Gives up what is held outside of memory, because the client is silent. */
  async #suspend(): Promise<void> {
    if (this.#content.kind !== "open") return;
    const { writer } = this.#content;
    await this.#checkpoint(writer);
    this.#isUnrecorded = true;
    await writer[Symbol.asyncDispose]();
    this.#content = { kind: "suspended" };
    this.#reserved = 0;
    if (!(await this.#claim.release())) throw busyUpload(this.#record.id);
  }

  /** Takes again what was given up. Refused with 409 when another writer has had the upload meanwhile. */
  async #resume(): Promise<void> {
    if (this.#content.kind !== "suspended") return;
    const { id } = this.#record;
    const held = await this.#claim.hold({ ...this.#record, version: this.#version, claimedBy: undefined });
    this.#version = held.version;
    if (!(await this.#resumePart(this.#received))) {
      throw new Error(`the bytes of the upload ${id} went while its client was silent`);
    }
  }

  async #checkpoint(writer: PartWriter): Promise<void> {
    this.#part = { ...this.#part, state: await writer.checkpoint() };
  }

  /** How many bytes the upload will have, when the client says so. */
  #expected(): { readonly announced?: number } {
    return this.#announced === undefined ? {} : { announced: this.#record.received + this.#announced };
  }

  /** What the part is about to become, when it is: recorded before it is committed, so that no bytes are orphaned. */
  #announcedKey(): StorageKey | undefined {
    const [intent] = this.#intents;
    return intent && this.#finalKey(intent);
  }

  async #nameFinalKey(): Promise<void> {
    const key = this.#announcedKey();
    if (key === undefined) return;
    const { id } = this.#record;
    if (!(await this.#backend.metadata.uploads.nameFinalKey(id, this.#version, key))) throw busyUpload(id);
  }

  /** The key that the blob shall have. One that an earlier writer had announced may be trash: none is used twice. */
  #finalKey(digest: Digest): StorageKey {
    return this.#backend.store.storageKey(this.#part.key, digest, this.#attempt);
  }

  #freshKey(): PartKey {
    return this.#backend.store.partKey(`${this.#record.id}${freshSuffix()}`);
  }

  /** The digest of all bytes so far, when it is known without reading them again. */
  #knownDigest(algorithm: Algorithm): Digest | undefined {
    const { digestSoFar } = this.#record;
    const recorded = algorithm === "sha256" && this.added === 0 ? digestSoFar : undefined;
    return this.#digester?.digest(algorithm) ?? recorded;
  }

  async #hashAgain(
    algorithms: readonly Algorithm[],
    [first]: readonly Digest[],
    signal: AbortSignal | undefined,
  ): Promise<Digester> {
    const digester = Digester.of(...algorithms);
    if (this.#content.kind === "staged") {
      digester.update(joined(this.#content.pieces));
      return digester;
    }
    if (first === undefined) return digester;
    const location = await this.#commitPart(first);
    for await (const piece of this.#backend.store.read(location.storageKey as StorageKey)) {
      if (signal?.aborted) throw new BrokenBodyError("the client went away", { cause: signal.reason });
      await hashInTurns(digester, piece);
    }
    return digester;
  }

  /** Makes the bytes durable where they shall stay. */
  async #commit(digest: Digest): Promise<BlobLocation> {
    if (this.#content.kind === "staged" && this.#fitsInline()) {
      return { kind: "inline", payload: joined(this.#content.pieces) };
    }
    return await this.#commitPart(digest);
  }

  async #commitPart(digest: Digest): Promise<StoredLocation> {
    if (this.#content.kind === "committed") return this.#content.location;
    const writer = await this.#partWriter();
    const storageKey = this.#finalKey(digest);
    const { size, fingerprint } = await writer.commit(storageKey);
    if (size !== this.#received) throw new Error(`${storageKey} has ${size} bytes instead of ${this.#received}`);
    this.#isUnrecorded = false;
    await writer[Symbol.asyncDispose]();
    const location = { kind: "stored", storageKey, fingerprint } as const;
    this.#content = { kind: "committed", location };
    return location;
  }

  /** Closes the writer of the part, if one is open. */
  async #end(): Promise<void> {
    const content = this.#content;
    this.#content = { kind: "ended" };
    if (content.kind === "open") await content.writer[Symbol.asyncDispose]();
  }
}

function freshSuffix(): string {
  return `.${randomUUID().slice(0, 8)}`;
}

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(pieces.reduce((size, piece) => size + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
