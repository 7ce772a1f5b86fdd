/** The body of a request, read by one reader from its first byte to its last. */
import type { OciError } from "../oci/error.ts";
import { BrokenBodyError } from "../registry/upload-writer.ts";
import { LIMITS } from "./limits.ts";

export class RequestBody {
  readonly #request: Request;
  readonly #whole: () => void;
  #reader: { read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }> } | undefined;

  /** `whole` is called when the last byte has arrived; at once when there is no body. */
  constructor(request: Request, whole: () => void = () => {}) {
    this.#request = request;
    this.#whole = whole;
    if (request.body === null) whole();
  }

  /** The pieces as they arrive, from where reading stopped last; none when there is no body. Rejects when it breaks. */
  async *pieces(): AsyncGenerator<Uint8Array> {
    const { body } = this.#request;
    if (!body) return;
    this.#reader ??= body.getReader();
    for (;;) {
      const { done, value } = await this.#reader.read().catch((error: unknown) => {
        throw new BrokenBodyError("the client went away", { cause: error });
      });
      if (done || value === undefined) {
        this.#whole();
        return;
      }
      yield value;
    }
  }

  /** The whole body, for what is small by rule; `tooLarge` is thrown when more than `maxBytes` come. */
  async readSmall(maxBytes: number, tooLarge: () => OciError): Promise<Uint8Array> {
    if (Number(this.#request.headers.get("content-length") ?? 0) > maxBytes) throw tooLarge();
    const pieces: Uint8Array[] = [];
    let size = 0;
    for await (const piece of this.pieces()) {
      size += piece.length;
      if (size > maxBytes) throw tooLarge();
      pieces.push(piece);
    }
    return Buffer.concat(pieces);
  }

  /**
   * Reads on and throws away, so that a client that sends before it listens gets to see its refusal; up to a bound of
   * bytes and of time. False when more would come, or the client is gone: the connection has to be closed then.
   */
  async drain(): Promise<boolean> {
    const deadline = performance.now() + LIMITS.maxDrainMs;
    let size = 0;
    try {
      for await (const piece of this.pieces()) {
        size += piece.length;
        if (size > LIMITS.maxDrainBytes || performance.now() > deadline) return false;
      }
      return true;
    } catch {
      return false;
    }
  }
}
