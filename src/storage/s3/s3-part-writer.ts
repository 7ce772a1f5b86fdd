/** Writes the bytes of an upload to S3. */
import type { BlobStat, PartKey, PartState, PartWriter, StorageKey } from "../blob-store.ts";
import { blobKey, tailKey } from "./layout.ts";
import type { Objects } from "./objects.ts";
import { S3Error, isAbsent } from "./s3-error.ts";
import type { MultipartState, S3PartState } from "./s3-part-state.ts";
import { writePartState } from "./s3-part-state.ts";
import type { Borrowed, Borrower, UploadMemory } from "./upload-memory.ts";

/** Parts of a multipart upload, at most (S3's own rule). */
const MAX_PARTS = 10_000;

/** Parts grow by whole ones of that. */
const MIB = 1024 * 1024;

/** How often a multipart upload is completed, when S3 answers that it could not, and the object is not there. */
const COMPLETIONS = 4;

/** What a writer needs from its store. */
export interface PartWriterContext {
  readonly objects: Objects;
  readonly memory: UploadMemory;
  /** Bytes of a part, unless a blob is announced that has more than `MAX_PARTS` of them. */
  readonly partBytes: number;
  /** The bytes of an object, from `start` to `end`, both counted in. */
  read(key: string, start: number, end: number): AsyncIterable<Uint8Array>;
  /** Deletes objects that nothing refers to any more, some time. */
  discardLater(keys: readonly string[]): void;
}

export interface OpenedPart {
  readonly key: PartKey;
  /** Undefined when nothing counts. */
  readonly state: S3PartState | undefined;
  /** Bytes that count. */
  readonly size: number;
  /** How many bytes there will be, when the client says so. */
  readonly announced: number | undefined;
}

/**
 * A buffer of a part is filled; when it is full it is sent while the next one is filled, if there is memory. A blob that fits
 * into one is one PUT to its final key. What is larger is a multipart upload to that key, with parts that are all of the same
 * size but the last, as R2 and others want it.
 *
 * While other uploads wait for memory, a writer whose client is slow puts what it has of a part into S3, gives its buffer back,
 * and reads it again when more comes.
 */
export class S3PartWriter implements PartWriter, Borrower {
  readonly #context: PartWriterContext;
  readonly #part: PartKey;
  readonly #key: StorageKey;
  readonly #partBytes: number;
  #announced: number | undefined;
  #upload: string | undefined;
  readonly #etags: string[];
  /** Bytes of S3 that come before what is appended, until they are read into the buffer. */
  #unread: { readonly key: string; readonly bytes: number } | undefined;
  /** The object that has exactly the bytes of the writer. */
  #object: { readonly etag: string; readonly size: number } | undefined;
  /** Those that states name. */
  readonly #tails = new Set<string>();
  #borrowed: Borrowed | undefined;
  #filled = 0;
  /** Bytes that the client sent into the buffer since it was borrowed. */
  #received = 0;
  /** Calls that are under way. */
  #atWork = 0;
  #settingAside: Promise<void> | undefined;
  /** Whether what is unread was set aside. */
  #isAside = false;
  /** The tail that was set aside, which no state names. */
  #asideTail: string | undefined;
  #sending: Promise<void> | undefined;
  /** Whether the multipart upload was begun here, and no state names it. */
  #isUnrecorded = false;
  #isCommitted = false;

  constructor(context: PartWriterContext, { key, state, size, announced }: OpenedPart) {
    this.#context = context;
    this.#part = key;
    this.#key = blobKey(key);
    this.#announced = announced;
    if (state?.kind === "multipart") {
      this.#upload = state.upload;
      this.#partBytes = state.partBytes;
      this.#etags = [...state.parts];
      const tailBytes = size - state.parts.length * state.partBytes;
      if (state.tail !== undefined && tailBytes > 0) this.#unread = { key: state.tail, bytes: tailBytes };
      if (state.tail !== undefined) this.#tails.add(state.tail);
    } else {
      // What is one object already goes into one part, also when the settings want smaller ones since.
      this.#partBytes = Math.max(partBytesFor(context.partBytes, announced), size);
      this.#etags = [];
      if (state && size > 0) this.#unread = { key: this.#key, bytes: size };
      if (state?.size === size) this.#object = state;
    }
  }

  get received(): number | undefined {
    return this.#atWork > 0 || this.#filled === 0 ? undefined : this.#received;
  }

  setAside(): Promise<void> {
    this.#settingAside ??= this.#setAside()
      .catch(() => undefined) // the bytes are where they were
      .finally(() => (this.#settingAside = undefined));
    return this.#settingAside;
  }

  append(bytes: Uint8Array): Promise<void> {
    return this.#work(() => this.#append(bytes));
  }

  async #append(bytes: Uint8Array): Promise<void> {
    if (bytes.length === 0) return;
    await this.#load();
    this.#object = undefined;
    for (let rest = bytes; rest.length > 0;) {
      if (this.#filled === this.#partBytes) await this.#sendBuffer();
      const buffer = await this.#buffer();
      const taken = rest.subarray(0, buffer.length - this.#filled);
      buffer.set(taken, this.#filled);
      this.#filled += taken.length;
      this.#received += taken.length;
      rest = rest.subarray(taken.length);
    }
  }

  async checkpoint(): Promise<PartState | undefined> {
    const state = await this.#work(() => this.#checkpoint());
    this.#isUnrecorded = false;
    this.#asideTail = undefined;
    return state && writePartState(state);
  }

  async commit(key: StorageKey): Promise<BlobStat> {
    if (key !== this.#key) throw new Error(`the part ${this.#part} becomes ${this.#key}, not ${key}`);
    const stat = await this.#work(() => this.#commit());
    this.#isCommitted = true;
    this.#context.discardLater([...this.#tails]);
    return { size: stat.size, fingerprint: `${stat.size} ${stat.etag}` };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#atWork += 1; // for good
    await this.#settingAside;
    await this.#sending?.catch(() => undefined);
    this.#giveBack();
    if (this.#asideTail !== undefined && !this.#isCommitted) this.#context.discardLater([this.#asideTail]);
    if (this.#upload === undefined || !this.#isUnrecorded || this.#isCommitted) return;
    // Otherwise it is found and aborted when the upload ends.
    await this.#context.objects.abortUpload(this.#key, this.#upload).catch(() => undefined);
  }

  /** Does something while nothing is set aside. */
  async #work<Result>(work: () => Promise<Result>): Promise<Result> {
    this.#atWork += 1;
    try {
      await this.#settingAside;
      return await work();
    } finally {
      this.#atWork -= 1;
    }
  }

  /** Puts what is in the buffer into S3 and gives the buffer back. Nothing is lost when it rejects. */
  async #setAside(): Promise<void> {
    const bytes = this.#filled;
    if (bytes === 0) return;
    if (this.#upload === undefined) {
      this.#object = { etag: await this.#context.objects.put(this.#key, this.#bytes()), size: bytes };
      this.#unread = { key: this.#key, bytes };
    } else {
      const key = await this.#putTail(this.#bytes());
      this.#asideTail = key;
      this.#unread = { key, bytes };
    }
    this.#isAside = true;
    this.#filled = 0;
    this.#giveBack();
  }

  async #checkpoint(): Promise<S3PartState | undefined> {
    if (this.#object) return { kind: "object", ...this.#object };
    await this.#sent();
    const { objects } = this.#context;
    const size = this.#filled + (this.#unread?.bytes ?? 0);
    if (this.#upload === undefined && this.#filled < this.#partBytes) {
      if (size === 0) return undefined;
      await this.#load();
      const etag = await objects.put(this.#key, this.#bytes());
      this.#object = { etag, size };
      return { kind: "object", ...this.#object };
    }
    if (this.#filled === this.#partBytes) await this.#sendBuffer();
    await this.#sent();
    const tail = await this.#tail();
    return {
      kind: "multipart",
      upload: await this.#begun(),
      partBytes: this.#partBytes,
      parts: [...this.#etags],
      tail,
    };
  }

  /** The object that has what is behind the last whole part, which is made when there is none. */
  async #tail(): Promise<string | undefined> {
    if (!this.#unread && this.#filled === 0) return undefined;
    const key = this.#unread?.key ?? (await this.#putTail(this.#bytes()));
    this.#tails.add(key);
    return key;
  }

  async #putTail(bytes: Uint8Array): Promise<string> {
    const key = tailKey(this.#part, this.#etags.length * this.#partBytes + bytes.length);
    await this.#context.objects.put(key, bytes);
    return key;
  }

  async #commit(): Promise<{ readonly size: number; readonly etag: string }> {
    if (this.#object) {
      const found = await this.#context.objects.head(this.#key);
      if (found?.size === this.#object.size && found.etag === this.#object.etag) return found;
      // A writer that died since has written more there.
      this.#object = undefined;
    }
    await this.#load();
    await this.#sent();
    const { objects } = this.#context;
    if (this.#upload === undefined) {
      const size = this.#filled;
      return { size, etag: await objects.put(this.#key, this.#bytes()) };
    }
    const size = this.#etags.length * this.#partBytes + this.#filled;
    if (this.#filled > 0) await this.#sendBuffer();
    await this.#sent();
    return { size, etag: await this.#complete(this.#upload, size) };
  }

  async #complete(upload: string, size: number): Promise<string> {
    const { objects } = this.#context;
    for (let tries = 1; ; tries++) {
      try {
        return await objects.completeUpload(this.#key, upload, this.#etags);
      } catch (error) {
        // Its answer may have been lost, and the upload is not there a second time: the object says what became of it.
        const found = await objects.head(this.#key);
        if (found?.size === size) return found.etag;
        if (isAbsent(error) || tries === COMPLETIONS || !(error instanceof S3Error)) throw error;
      }
    }
  }

  /** Reads what is in S3 already, and shorter than a part, into the buffer. */
  async #load(): Promise<void> {
    const unread = this.#unread;
    if (!unread) return;
    const buffer = await this.#buffer(unread.bytes);
    let read = 0;
    for await (const piece of this.#context.read(unread.key, 0, unread.bytes - 1)) {
      buffer.set(piece, read);
      read += piece.length;
    }
    if (read !== unread.bytes) throw new Error(`${unread.key} has ${read} bytes instead of ${unread.bytes}`);
    this.#filled = read;
    this.#unread = undefined;
    this.#isAside = false;
    if (this.#asideTail !== undefined) this.#context.discardLater([this.#asideTail]);
    this.#asideTail = undefined;
  }

  /** The buffer that is being filled, with room for one byte at least. */
  async #buffer(atLeast = this.#filled + 1): Promise<Uint8Array> {
    if (this.#borrowed && this.#borrowed.buffer.length >= atLeast) return this.#borrowed.buffer;
    if (this.#borrowed) {
      // More came than was announced. A borrower must not wait for more memory: its buffer is given back first.
      this.#announced = undefined;
      await this.#setAside();
      this.#isAside = false; // it has waited once
      this.#object = undefined;
      await this.#load();
      return await this.#buffer();
    }
    const left = (this.#announced ?? Infinity) - this.#etags.length * this.#partBytes;
    const bytes = left >= atLeast && left < this.#partBytes ? left : this.#partBytes;
    this.#borrowed = await this.#context.memory.borrow(bytes, { borrower: this, isReturning: this.#isAside });
    this.#received = 0;
    return this.#borrowed.buffer;
  }

  #bytes(): Uint8Array {
    return this.#borrowed?.buffer.subarray(0, this.#filled) ?? new Uint8Array();
  }

  /** Begins to send the buffer as the next part, once the part before it is sent. */
  async #sendBuffer(): Promise<void> {
    await this.#sent();
    const upload = await this.#begun();
    const number = this.#etags.length + 1;
    if (number > MAX_PARTS) throw tooLarge(this.#partBytes);
    const [borrowed, bytes] = [this.#borrowed, this.#bytes()];
    this.#sending = this.#send(upload, number, bytes).finally(() => borrowed?.[Symbol.dispose]());
    this.#sending.catch(() => undefined); // thrown by the call that awaits it next
    this.#etags.push(""); // its place
    this.#borrowed = undefined;
    this.#filled = 0;
  }

  async #send(upload: string, number: number, bytes: Uint8Array): Promise<void> {
    this.#etags[number - 1] = await this.#context.objects.uploadPart(this.#key, upload, number, bytes);
  }

  async #sent(): Promise<void> {
    await this.#sending;
  }

  async #begun(): Promise<string> {
    if (this.#upload !== undefined) return this.#upload;
    const upload = await this.#context.objects.createUpload(this.#key);
    this.#isUnrecorded = true;
    this.#upload = upload;
    return upload;
  }

  #giveBack(): void {
    this.#borrowed?.[Symbol.dispose]();
    this.#borrowed = undefined;
  }
}

/** Makes the bytes of a part of another upload, which are an object by now, parts of a fresh one. */
export async function copyParts(
  objects: Objects,
  { partBytes, parts }: MultipartState,
  from: string,
  to: PartKey,
): Promise<Pick<MultipartState, "upload" | "parts">> {
  const key = blobKey(to);
  const upload = await objects.createUpload(key);
  const copies: string[] = [];
  for (let at = 0; at < parts.length; at++) {
    const range = { start: at * partBytes, end: (at + 1) * partBytes - 1 };
    copies.push(await objects.copyPart(from, range, { key, upload, number: at + 1 }));
  }
  return { upload, parts: copies };
}

/** The bytes of each part, so that all of a blob of the announced size are not too many. */
export function partBytesFor(partBytes: number, announced = 0): number {
  return Math.max(partBytes, Math.ceil(announced / MAX_PARTS / MIB) * MIB);
}

function tooLarge(partBytes: number): Error {
  const most = Math.floor((partBytes * MAX_PARTS) / 1024 ** 3);
  return Object.assign(
    new Error(`a blob of unknown size may have ${most} GiB: raise storage.s3.chunksize, or announce its size`),
    { code: "EFBIG" },
  );
}
