/** Takes the bytes of one request into an upload: socket → hash → row or file. */
import { randomUUID } from "node:crypto";
import type { UploadFacts, Whereabouts } from "../metadata/metadata-store.ts";
import { Digester, algorithmOf } from "../oci/digest.ts";
import type { Algorithm, Digest } from "../oci/digest.ts";
import { OciError } from "../oci/error.ts";
import type { Draft, DraftKey, StorageKey } from "../storage/blob-store.ts";
import type { Backend } from "./backend.ts";

/** The sender broke off: the bytes before it are good, and nobody is there to be answered. */
export class BrokenBodyError extends Error {
  override readonly name = "BrokenBodyError";
}

/** A draft is claimed anew when this part of the claim is over. */
const RENEW_AT = 1 / 4;

/**
 * Holds an upload for one request. While the bytes are few they stay in memory and then in the row; the first byte
 * beyond the limit makes the draft, and with it the claim that keeps other processes away. Until `save` or `finish`
 * nothing counts; `rollBack` makes it as it was.
 */
export class UploadWriter implements AsyncDisposable {
  readonly #backend: Backend;
  readonly #facts: UploadFacts;
  /** What the upload is about to be closed with, the first one in its final key; none when it is not. */
  readonly #intents: readonly Digest[];
  /** Bytes that are not in a draft, when none is open. */
  #staged: Uint8Array[];
  #draft: Draft | undefined;
  #draftKey: DraftKey;
  /** What the blob's key is made of. */
  #finalBase: DraftKey | undefined;
  /** Hashes all bytes from the first on; undefined when another process took some of them. */
  readonly #digester: Digester | undefined;
  /** The hash as it was, to roll back to; undefined when nothing had come. */
  readonly #before: Digester | undefined;
  #version: number;
  #claimed = false;
  #renewAt = 0;
  #received: number;
  /** Whether this writer has nothing left to undo or record. */
  #settled = false;

  private constructor(backend: Backend, facts: UploadFacts, intents: readonly Digest[]) {
    this.#backend = backend;
    this.#facts = facts;
    this.#intents = intents;
    this.#staged = facts.staged ? [facts.staged] : [];
    this.#draftKey = facts.draftKey as DraftKey;
    this.#version = facts.version;
    this.#received = facts.received;
    this.#digester = this.#initialDigester();
    this.#before = facts.received > 0 ? this.#digester?.copy() : undefined;
  }

  /**
   * Refused with 409 when another writer holds the upload. Undefined when the bytes that were recorded are lost.
   * `intents` are the digests that the upload is about to be closed with.
   */
  static async open(
    backend: Backend,
    facts: UploadFacts,
    intents: readonly Digest[] = [],
  ): Promise<UploadWriter | undefined> {
    const writer = new UploadWriter(backend, facts, intents);
    if (writer.#hasDraft()) {
      try {
        return (await writer.#reopenDraft()) ? writer : undefined;
      } catch (error) {
        await writer.rollBack(); // or the sender could not try again until the claim is over
        throw error;
      }
    }
    if (writer.#heldByAnother()) throw busyUpload(facts.id);
    return writer;
  }

  /** Bytes that came through this writer. */
  get added(): number {
    return this.#received - this.#facts.received;
  }

  /** Rejects with `BrokenBodyError` when the source breaks, and with whatever else when the store does. */
  async writeAll(source: AsyncIterable<Uint8Array>): Promise<void> {
    const iterator = source[Symbol.asyncIterator]();
    for (;;) {
      const step = await iterator.next().catch((error: unknown) => {
        throw error instanceof BrokenBodyError ? error : new BrokenBodyError("the body broke off", { cause: error });
      });
      if (step.done) return;
      await this.#write(step.value);
    }
  }

  /** Records what has arrived as part of the upload, durable, and lets the upload go. */
  async save(): Promise<void> {
    await this.#draft?.sync();
    const staged = this.#draft ? undefined : this.#stagedBytes();
    if (!(await this.#record(this.#received, this.#digester, staged))) throw busyUpload(this.#facts.id);
    this.#settled = true;
  }

  /** Makes the upload as it was before this writer, as far as the disk allows, and lets it go. */
  async rollBack(): Promise<void> {
    if (this.#settled || !this.#claimed) return;
    // Bytes beyond what the row counts do no harm, for who goes on with the draft cuts them off first; but on a full disk
    // somebody else needs the room.
    await this.#draft?.truncate(this.#hasDraft() ? this.#facts.received : 0).catch(() => undefined);
    await this.#record(this.#facts.received, this.#before, this.#facts.staged);
  }

  /**
   * The first of `digests`, each of another algorithm, that all bytes together do not have; undefined when they have all.
   * Reads the bytes once more when they were not hashed with every algorithm. Rejects with `BrokenBodyError` when `signal`
   * aborts meanwhile.
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
      const digester = await this.#hashAgain(unknown, signal);
      for (const algorithm of unknown) known.set(algorithm, digester.digest(algorithm) as Digest);
    }
    return digests.find((digest) => known.get(algorithmOf(digest)) !== digest);
  }

  /** Turns the upload into a blob, durable. False when the upload had ended meanwhile. */
  async finish(digest: Digest): Promise<boolean> {
    const { store, metadata } = this.#backend;
    const at = await this.#seal(digest);
    const [id, version, size] = [this.#facts.id, this.#version, this.#received];
    const done = await metadata.finishUpload({ id, version, digest, size, at });
    if (!done && at.kind === "stored") await store.delete([at.storageKey as StorageKey]);
    return done;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#draft?.[Symbol.asyncDispose]();
  }

  /** Whether the upload's earlier bytes lie in a draft. */
  #hasDraft(): boolean {
    return this.#facts.received > 0 && this.#facts.staged === undefined;
  }

  #fitsInline(): boolean {
    const { inlineBytes } = this.#backend.limits;
    return inlineBytes > 0 && this.#received <= inlineBytes;
  }

  #heldByAnother(): boolean {
    const { claimedUntil } = this.#facts;
    return claimedUntil !== undefined && claimedUntil > this.#backend.clock.now();
  }

  #initialDigester(): Digester | undefined {
    const { id, version, received, staged, algorithm } = this.#facts;
    if (this.#hasDraft()) return this.#backend.uploads.recall(id, version)?.copy();
    // SHA-256 always; another algorithm when the client named it early.
    const algorithms = new Set<Algorithm>(["sha256", algorithm]);
    for (const intent of this.#intents) algorithms.add(algorithmOf(intent));
    const digester = Digester.of(...algorithms);
    if (staged && received > 0) digester.update(staged);
    return digester;
  }

  async #write(bytes: Uint8Array): Promise<void> {
    this.#digester?.update(bytes);
    this.#received += bytes.length;
    if (!this.#draft && this.#fitsInline()) {
      this.#staged.push(bytes.slice()); // the sender may use his buffer again
      return;
    }
    if (!this.#draft) await this.#openDraft();
    await this.#draft?.append(bytes);
    if (this.#backend.clock.now() >= this.#renewAt) await this.#renew();
  }

  /** Makes the draft, and puts into it what was held in memory. */
  async #openDraft(): Promise<void> {
    const takesOver = this.#facts.claimedUntil !== undefined;
    await this.#claim({ announce: !takesOver });
    if (takesOver) await this.#moveTo(this.#freshDraft());
    this.#draft = await this.#backend.store.stage(this.#draftKey);
    for (const piece of this.#staged) await this.#draft.append(piece);
    this.#staged = [];
  }

  /** Goes on with the draft of earlier requests. False when it is lost. */
  async #reopenDraft(): Promise<boolean> {
    const { store, metadata } = this.#backend;
    const { received, claimedUntil, finalKey } = this.#facts;
    const takesOver = claimedUntil !== undefined;
    // The row is still here, so nothing refers to what a writer that died, or failed at the last step, had sealed. Its
    // key stays recorded until it is a draft again: dying here loses nothing either.
    await this.#claim({ announce: finalKey === undefined && !takesOver });
    if (finalKey !== undefined) await store.unseal(finalKey as StorageKey, this.#draftKey);
    if (takesOver) {
      const fresh = this.#freshDraft();
      await metadata.reserveDraft(fresh, this.#claimTerms().expiresAt);
      if (!(await store.copyDraft(this.#draftKey, fresh, received))) return false;
      await this.#moveTo(fresh);
    } else if (finalKey !== undefined && this.#intents.length > 0) {
      await this.#renew();
    }
    this.#draft = await store.reopen(this.#draftKey, received);
    return this.#draft !== undefined;
  }

  /** The key that the blob shall have. One that an earlier writer had announced may be trash: none is used twice. */
  #finalKey(digest: Digest): StorageKey {
    this.#finalBase ??= this.#facts.finalKey === undefined ? this.#draftKey : this.#freshDraft();
    return this.#backend.store.storageKey(this.#finalBase, digest);
  }

  #freshDraft(): DraftKey {
    return this.#backend.store.draftKey(`${this.#facts.id}.${randomUUID().slice(0, 8)}`);
  }

  /** The last writer died, or sleeps: should he wake up, he writes into a file that nobody uses any more. */
  async #moveTo(fresh: DraftKey): Promise<void> {
    const { id } = this.#facts;
    if (!(await this.#backend.metadata.moveUpload(id, this.#version, fresh))) throw busyUpload(id);
    this.#draftKey = fresh;
    this.#finalBase = fresh;
    if (this.#intents.length > 0) await this.#renew();
  }

  /** With `announce` what the draft is about to become is recorded at once. */
  async #claim({ announce }: { readonly announce: boolean }): Promise<void> {
    const { finalKey, ...terms } = this.#claimTerms();
    const claimed = await this.#backend.metadata.claimUpload(
      announce && finalKey !== undefined ? { ...terms, finalKey } : terms,
    );
    if (claimed === undefined) throw busyUpload(this.#facts.id);
    this.#version = claimed;
    this.#claimed = true;
  }

  async #renew(): Promise<void> {
    if (!(await this.#backend.metadata.renewUpload(this.#claimTerms()))) throw busyUpload(this.#facts.id);
  }

  #claimTerms(): { id: string; version: number; until: number; expiresAt: number; finalKey?: string } {
    const { clock, limits } = this.#backend;
    const now = clock.now();
    const [intent] = this.#intents;
    this.#renewAt = now + limits.claimMs * RENEW_AT;
    return {
      id: this.#facts.id,
      version: this.#version,
      until: now + limits.claimMs,
      expiresAt: now + limits.uploadExpiryMs,
      ...(intent ? { finalKey: this.#finalKey(intent) } : {}),
    };
  }

  /** False when the writer has lost the upload. */
  async #record(received: number, digester: Digester | undefined, staged: Uint8Array | undefined): Promise<boolean> {
    const { metadata, clock, limits, uploads } = this.#backend;
    const saved = await metadata.saveUpload({
      id: this.#facts.id,
      version: this.#version,
      received,
      digestSoFar: digester?.digest("sha256"),
      staged,
      expiresAt: clock.now() + limits.uploadExpiryMs,
    });
    if (saved === undefined) return false;
    if (digester) uploads.remember(this.#facts.id, saved, digester);
    return true;
  }

  /** The digest of all bytes so far, when it is known without reading them again. */
  #knownDigest(algorithm: Algorithm): Digest | undefined {
    const { digestSoFar } = this.#facts;
    const recorded = algorithm === "sha256" && this.added === 0 ? digestSoFar : undefined;
    return this.#digester?.digest(algorithm) ?? recorded;
  }

  async #hashAgain(algorithms: readonly Algorithm[], signal: AbortSignal | undefined): Promise<Digester> {
    const digester = Digester.of(...algorithms);
    if (!this.#draft) {
      digester.update(this.#stagedBytes());
      return digester;
    }
    await this.#draft.flush();
    for await (const piece of this.#backend.store.readDraft(this.#draftKey, this.#received)) {
      if (signal?.aborted) throw new BrokenBodyError("the client went away", { cause: signal.reason });
      digester.update(piece);
    }
    return digester;
  }

  /** Makes the bytes durable where they shall stay. */
  async #seal(digest: Digest): Promise<Whereabouts> {
    if (!this.#draft && !this.#fitsInline()) await this.#openDraft();
    if (!this.#draft) return { kind: "inline", payload: this.#stagedBytes() };
    await this.#draft.flush();
    const { store } = this.#backend;
    const storageKey = this.#finalKey(digest);
    const { mtimeMs } = await store.seal(this.#draftKey, storageKey);
    // From here on the file may be the blob of a row, whatever we get to hear of it: it is not touched any more.
    this.#settled = true;
    return { kind: "stored", storageKey, mtimeMs };
  }

  #stagedBytes(): Uint8Array {
    const joined = new Uint8Array(this.#staged.reduce((size, piece) => size + piece.length, 0));
    let at = 0;
    for (const piece of this.#staged) {
      joined.set(piece, at);
      at += piece.length;
    }
    return joined;
  }
}

/** How a second writer is refused. */
export function busyUpload(id: string): OciError {
  return new OciError("BLOB_UPLOAD_INVALID", {
    status: 409,
    message: "another request is writing to this upload: wait for it to end",
    detail: { id },
  });
}
