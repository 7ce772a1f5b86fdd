/** The body of a request, read by one reader from its first byte to its last. */
import type { OciError } from "../../oci/error.ts";
import { BrokenBodyError } from "../../lib/broken-body-error.ts";
import { LIMITS } from "./limits.ts";

const NOTHING = (): void => {};

export class RequestBody {
  readonly #request: Request;
  readonly #onReceived: () => void;
  #reader: { read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }> } | undefined;

  /** Whether it was taken in one piece. */
  #isTaken = false;
  #received = 0;

  /** `onReceived` is called when the last byte has arrived. */
  constructor(request: Request, onReceived: () => void = NOTHING) {
    this.#request = request;
    this.#onReceived = onReceived;
  }

  /** Says that work on the request begins, which may take a while: one without a body has arrived already. */
  begin(): void {
    if (this.#request.body === null) this.#onReceived();
  }

  /** Bytes that have been read. */
  get received(): number {
    return this.#received;
  }

  /** Whether the request says that it has no bytes. */
  get isEmpty(): boolean {
    return this.#request.body === null || this.#announcedBytes() === 0;
  }

  /** How many bytes the request says that it has; undefined when it does not say. */
  get announced(): number | undefined {
    const bytes = this.#announcedBytes();
    return Number.isSafeInteger(bytes) ? bytes : undefined;
  }

  /** The pieces as they arrive, from where reading stopped last; none when there is no body. Rejects when it breaks. */
  async *pieces(): AsyncGenerator<Uint8Array> {
    const { body } = this.#request;
    if (!body || this.#isTaken) return;
    this.#reader ??= body.getReader();
    for (;;) {
      const { done, value } = await this.#reader.read().catch((error: unknown) => {
        throw new BrokenBodyError("the client went away", { cause: error });
      });
      if (done || value === undefined) {
        this.#onReceived();
        return;
      }
      this.#received += value.length;
      yield value;
    }
  }

  /**
   * As `pieces`, for callers that need all of it: a small body comes as one piece, which costs less. Rejects when it
   * breaks.
   */
  whole(): AsyncIterable<Uint8Array> {
    return this.#announcedBytes() <= LIMITS.maxWholeBytes ? this.#atOnce() : this.pieces();
  }

  /** The whole body, for what is small by rule; `tooLarge` is thrown when more than `maxBytes` come. */
  async readSmall(maxBytes: number, tooLarge: () => OciError): Promise<Uint8Array> {
    const announced = this.#announcedBytes();
    if (announced > maxBytes && announced !== Infinity) throw tooLarge();
    const pieces: Uint8Array[] = [];
    let size = 0;
    for await (const piece of this.whole()) {
      size += piece.length;
      if (size > maxBytes) throw tooLarge();
      pieces.push(piece);
    }
    return pieces.length === 1 && pieces[0] ? pieces[0] : Buffer.concat(pieces);
  }

  /** What the client says that it sends; infinite when it does not say. */
  #announcedBytes(): number {
    return Number(this.#request.headers.get("content-length") ?? Infinity);
  }

  async *#atOnce(): AsyncGenerator<Uint8Array> {
    if (!this.#request.body || this.#isTaken) return;
    this.#isTaken = true;
    const bytes = await this.#request.bytes().catch((error: unknown) => {
      throw new BrokenBodyError("the client went away", { cause: error });
    });
    this.#received += bytes.length;
    this.#onReceived();
    yield bytes;
  }

  /**
   * Reads on and throws away, so that a client that sends before it listens gets to see its refusal; up to a bound of
   * bytes and of time, and not at all when more is announced. False when more would come, or the client is gone: the
   * connection has to be closed then.
   */
  async drain(): Promise<boolean> {
    const left = this.#announcedBytes() - this.#received;
    if (left !== Infinity && left > LIMITS.maxDrainBytes) return false;
    const deadline = performance.now() + LIMITS.maxDrainMs;
    const pieces = this.pieces();
    let size = 0;
    try {
      for (;;) {
        const step = await within(LIMITS.maxDrainSilenceMs, pieces.next());
        if (step?.done) return true;
        size += step?.value.length ?? 0;
        if (!step || size > LIMITS.maxDrainBytes || performance.now() > deadline) return false;
      }
    } catch {
      return false;
    }
  }
}

/** What comes in time; undefined when nothing does. */
async function within<Result>(milliseconds: number, coming: Promise<Result>): Promise<Result | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    return await Promise.race([
      coming,
      new Promise<undefined>((resolve) => (timer = setTimeout(() => resolve(undefined), milliseconds))),
    ]);
  } finally {
    clearTimeout(timer);
  }
}
