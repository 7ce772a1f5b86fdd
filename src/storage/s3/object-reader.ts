/** Reads objects, piece by piece as the reader takes them. */
import type { ByteRange } from "../../lib/byte-range.ts";
import { MissingBlobError } from "../blob-store.ts";
import { S3Error, isAbsent } from "./s3-error.ts";
import type { S3Client } from "./s3-client.ts";

/** How often a stream that broke is continued without a byte in between. */
const MOST_BREAKS = 5;

/** Milliseconds that S3 may be silent while its reader waits. */
const SILENCE_MS = 30_000;

export class ObjectReader {
  readonly #client: S3Client;

  constructor(client: S3Client) {
    this.#client = client;
  }

  /**
   * The bytes of an object, or of a range of it. A stream that breaks, or ends early, is continued where it broke, of the same
   * version of the object. Throws `MissingBlobError` when there is none.
   */
  async *read(key: string, range?: ByteRange): AsyncGenerator<Uint8Array> {
    if (range && range.end < range.start) return;
    let at = range?.start ?? 0;
    let end = range?.end;
    let etag: string | undefined;
    for (let breaks = 0; ;) {
      const ending = new AbortController();
      const answer = await this.#open(key, { at, end, etag }, ending.signal);
      etag ??= answer.headers.get("etag") ?? undefined;
      end ??= at + Number(answer.headers.get("content-length")) - 1;
      try {
        for await (const piece of piecesOf(answer, ending)) {
          if (at + piece.length > end + 1)
            throw new S3Error(`S3 GET ${key}`, 200, "", "more bytes than were asked for");
          at += piece.length;
          breaks = 0;
          yield piece;
        }
        if (at === end + 1) return;
        if ((breaks += 1) > MOST_BREAKS)
          throw new S3Error(`S3 GET ${key}`, 200, "", "the stream breaks off again and again");
      } finally {
        ending.abort(); // also when the reader has enough
      }
    }
  }

  async #open(
    key: string,
    { at, end, etag }: { readonly at: number; readonly end: number | undefined; readonly etag: string | undefined },
    signal: AbortSignal,
  ): Promise<Response> {
    const headers = {
      ...(at === 0 && end === undefined ? {} : { range: `bytes=${at}-${end ?? ""}` }),
      ...(etag === undefined ? {} : { "if-match": etag }),
    };
    const request = { method: "GET", key, headers, signal } as const;
    try {
      return await this.#client.send(request);
    } catch (error) {
      if (!isAbsent(error)) throw error;
      // The caller records that the blob is missing, so one wrong answer must not be enough.
      if (!(await this.#isThere(key, signal))) throw new MissingBlobError(key, { cause: error });
      return await this.#client.send(request);
    }
  }

  async #isThere(key: string, signal: AbortSignal): Promise<boolean> {
    try {
      await this.#client.headers({ method: "HEAD", key, signal });
      return true;
    } catch (error) {
      if (isAbsent(error)) return false;
      throw error;
    }
  }
}

/** The pieces until the stream ends or breaks, which is the same to the caller. */
async function* piecesOf({ body }: Response, ending: AbortController): AsyncGenerator<Uint8Array> {
  if (!body) return;
  const reader = body.getReader();
  for (;;) {
    const timer = setTimeout(() => ending.abort(new Error("S3 is silent")), SILENCE_MS);
    const step = await reader.read().catch(() => undefined);
    clearTimeout(timer);
    if (!step || step.done) return;
    yield step.value;
  }
}
