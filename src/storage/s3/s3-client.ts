/** Requests to S3: signed, repeated when that may help, and ended at the stop signal. */
import { randomInt } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { credentialProvider } from "./credentials.ts";
import { S3Error } from "./s3-error.ts";
import type { S3Options } from "../s3-options.ts";
import { Signer, encode } from "./signer.ts";
import { textIn } from "./xml.ts";

/** Milliseconds after which a request that has not been answered is given up for good … */
const DEADLINE_MS = 60_000;
/** … and after which one try is, with as much again for every so many bytes that it sends. */
const TRY_MS = 20_000;
const BYTES_PER_TRY_MS = 100;

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5000;

/** Statuses that say nothing of the request itself. S3 says 503 to clients that ask too often. */
const TEMPORARY: ReadonlySet<number> = new Set([408, 429, 500, 502, 503, 504]);

/** Words of S3 that come with another status, and mean that the same request may succeed. */
const TEMPORARY_CODES: ReadonlySet<string> = new Set([
  "RequestTimeout",
  "RequestTimeTooSkewed",
  "SlowDown",
  "InternalError",
]);

/** What was stored is given back as it is. */
const OF_BUN = { decompress: false };

export interface S3Request {
  readonly method: "GET" | "HEAD" | "PUT" | "POST" | "DELETE";
  /** Of an object, below the prefix; the bucket itself when absent. */
  readonly key?: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
  /** Milliseconds after which it is given up. */
  readonly deadlineMs?: number;
  /** Ends the request, and its body when that is still being read. */
  readonly signal?: AbortSignal;
}

export class S3Client {
  readonly #options: S3Options;
  readonly #signer: Signer;
  readonly #stopping = new AbortController();

  constructor(options: S3Options) {
    this.#options = options;
    this.#signer = new Signer(options.region, credentialProvider(options));
  }

  /** Ends all requests. */
  close(): void {
    this.#stopping.abort(new Error("the store is closed"));
  }

  get bucket(): string {
    return this.#options.bucket;
  }

  /** The name of an object in the bucket. */
  nameOf(key: string): string {
    const { prefix = "" } = this.#options;
    return prefix === "" ? key : `${prefix}/${key}`;
  }

  /** The key of an object whose name in the bucket is this; undefined when it lies outside of the prefix. */
  keyOf(name: string): string | undefined {
    const start = this.nameOf("");
    return name.startsWith(start) ? name.slice(start.length) : undefined;
  }

  /**
   * Resolves with the answer once its status is known, when that is 2xx; its body must be read or cancelled. Throws `S3Error` for
   * what S3 refuses; repeats what failed for a while, with growing pauses, and throws the last error then.
   */
  send(request: S3Request): Promise<Response> {
    return this.#insist(request, () => this.#try(request));
  }

  /** As `send`, and reads the answer as text; one that breaks off is asked for again. */
  text(request: S3Request): Promise<string> {
    return this.#insist(request, async () => {
      const answer = await this.#try(request);
      return await answer.text().catch((error: unknown) => {
        throw new S3Error(nameOf(request), 0, "", toError(error).message, { cause: error });
      });
    });
  }

  async #insist<Answer extends Response | string>(request: S3Request, attempt: () => Promise<Answer>): Promise<Answer> {
    const deadline = performance.now() + this.#deadlineOf(request);
    for (let tries = 1; ; tries++) {
      const answer = await attempt().catch((error: unknown) => toError(error));
      if (!(answer instanceof Error)) return answer;
      const ended = this.#stopping.signal.aborted || request.signal?.aborted;
      const pause = (randomInt(1000) / 1000) * Math.min(FIRST_PAUSE_MS * 2 ** tries, LONGEST_PAUSE_MS);
      if (ended || !isTemporary(answer) || performance.now() + pause > deadline) throw answer;
      await sleep(pause, undefined, { signal: this.#stopping.signal });
    }
  }

  /** As `send`, and returns the headers of the answer. */
  async headers(request: S3Request): Promise<Headers> {
    const answer = await this.send(request);
    await answer.body?.cancel();
    return answer.headers;
  }

  /** An address at which a client may GET the object for a while. */
  presign(key: string): Promise<URL> {
    return this.#signer.presign(this.#urlOf(key, this.#options.redirect?.endpoint));
  }

  /** Milliseconds after which a request is given up. */
  #deadlineOf({ deadlineMs = DEADLINE_MS }: S3Request): number {
    return Math.min(deadlineMs, this.#options.requestDeadlineMs ?? DEADLINE_MS);
  }

  async #try(request: S3Request): Promise<Response> {
    const { method, key, query = {}, body, headers = {} } = request;
    const url = this.#urlOf(key);
    url.search = Object.entries(query)
      .map(([name, value]) => `${encode(name)}=${encode(value)}`)
      .join("&");
    const { userAgent = "stowage", skipVerify } = this.#options;
    const signed = await this.#signer.sign({ method, url, headers: { "user-agent": userAgent, ...headers } });
    const bytes = typeof body === "string" ? Buffer.byteLength(body) : (body?.length ?? 0);
    const ending = new AbortController();
    // Only until the status is known: how long the body takes is for its reader to say.
    const timer = setTimeout(
      () => ending.abort(new Error("S3 did not answer in time")),
      Math.min(TRY_MS + bytes / BYTES_PER_TRY_MS, this.#deadlineOf(request)),
    );
    const signals = [ending.signal, this.#stopping.signal, ...(request.signal ? [request.signal] : [])];
    try {
      const answer = await fetch(url, {
        method,
        headers: signed,
        ...(body === undefined ? {} : { body: body as Uint8Array<ArrayBuffer> | string }),
        signal: AbortSignal.any(signals),
        redirect: "manual",
        ...OF_BUN,
        ...(skipVerify ? { tls: { rejectUnauthorized: false } } : {}),
      });
      const isClockWrong = this.#signer.learn(answer.headers.get("date"));
      if (answer.ok) return answer;
      throw await refusalOf(request, answer, isClockWrong);
    } catch (error) {
      if (error instanceof S3Error) throw error;
      throw new S3Error(nameOf(request), 0, "", toError(error).message, { cause: error }); // the network
    } finally {
      clearTimeout(timer);
    }
  }

  #urlOf(key: string | undefined, at: string | undefined = this.#options.endpoint): URL {
    const { bucket, region, pathStyle } = this.#options;
    const url = new URL(at ?? `https://s3.${region}.amazonaws.com`);
    const path = key === undefined ? "" : this.nameOf(key).split("/").map(encode).join("/");
    if (pathStyle) url.pathname = `/${encode(bucket)}/${path}`;
    else {
      url.hostname = `${bucket}.${url.hostname}`;
      url.pathname = `/${path}`;
    }
    return url;
  }
}

async function refusalOf(request: S3Request, answer: Response, isClockWrong: boolean): Promise<S3Error> {
  const { status } = answer;
  const text = await answer.text().catch(() => "");
  // An answer to HEAD has no body that says why.
  const unnamed = status === 403 && isClockWrong ? "RequestTimeTooSkewed" : "";
  const [code = unnamed, message = ""] = [textIn(text, "Code"), textIn(text, "Message")];
  return new S3Error(nameOf(request), status, code, message);
}

function nameOf({ method, key = "" }: S3Request): string {
  return `S3 ${method} ${key}`.trimEnd();
}

/** Errors of S3 that are its own, or of the network. */
function isTemporary(error: Error): boolean {
  return error instanceof S3Error && (error.status === 0 || isTemporaryAnswer(error));
}

function isTemporaryAnswer(error: S3Error): boolean {
  return TEMPORARY.has(error.status) || TEMPORARY_CODES.has(error.s3Code);
}

function toError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
