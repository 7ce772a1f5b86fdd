/** What is answered, as a value: one place writes it. */
import type { ByteRange } from "../../lib/byte-range.ts";
import { readFile } from "../../lib/read-file.ts";
import { LIMITS } from "./limits.ts";
import { httpDate } from "./http-date.ts";

export type ReplyBody =
  /** A short text. */
  | string
  /** Bytes in memory. Responses that have the same `Blob` share them; a `Uint8Array` would be copied for each. */
  | Blob
  /** The kernel sends it. */
  | { readonly kind: "file"; readonly path: string; readonly range: ByteRange }
  /** Opened only when it will be sent. */
  | { readonly kind: "stream"; open(): AsyncIterable<Uint8Array> };

export interface Reply {
  readonly status: number;
  /** Names in lower case. `content-length` stands here whenever the length is known: HEAD needs it. */
  readonly headers: Readonly<Record<string, string>>;
  /** The same headers as the web has them: they cost the most of a reply, and one that is given again has them already. */
  readonly webHeaders?: Headers;
  readonly body?: ReplyBody;
  /**
   * For what depends on nothing but method, path, query and what `adapted` looks at: whether it can be given again, as long
   * as nothing is committed. It is kept for long, so it must not hold on to a request: what is made in an async function does.
   */
  readonly holds?: () => boolean;
  /** The same for a request with other conditions or ranges, out of what is known; may throw a refusal. Kept as `holds` is. */
  readonly adapted?: (request: Request) => Reply;
  /** Of whoever asked, for the log. */
  readonly address?: string | undefined;
  readonly user?: string | undefined;
}

/** A reply without a body. */
export function empty(status: number, headers: Readonly<Record<string, string>> = {}): Reply {
  // 204 and 304 have no length (RFC 9110, 8.6).
  return { status, headers: status === 204 || status === 304 ? headers : { ...headers, "content-length": "0" } };
}

/** A reply whose body is JSON. The type has no charset: clients compare it letter by letter. */
export function json(status: number, value: unknown, headers: Readonly<Record<string, string>> = {}): Reply {
  return text(status, JSON.stringify(value), { "content-type": "application/json", ...headers });
}

/** A reply whose body is a text of the type that `headers` names. */
export function text(status: number, body: string, headers: Readonly<Record<string, string>>): Reply {
  const size = Buffer.byteLength(body);
  return {
    status,
    headers: { ...headers, "content-length": String(size) },
    body: size > LIMITS.smallResponseBytes ? bytesBody(Buffer.from(body)) : body,
  };
}

/** Bytes as a body. */
export function bytesBody(bytes: Uint8Array): Blob {
  return new Blob([bytes]);
}

/**
 * Whether the body is a stream that is better read before it is sent: the runtime sends no `Content-Length` with a stream, and
 * one that breaks can be answered with its error.
 */
export function isShortStream({ body, headers }: Reply): boolean {
  return isStream(body) && Number(headers["content-length"] ?? Infinity) <= LIMITS.maxGatheredBytes;
}

/** The same reply with its stream read into memory; rejects when that breaks. */
export async function gathered(reply: Reply): Promise<Reply> {
  if (!isStream(reply.body)) return reply;
  const pieces: Uint8Array[] = [];
  for await (const piece of reply.body.open()) pieces.push(piece);
  return { ...reply, body: bytesBody(Buffer.concat(pieces)) };
}

function isStream(body: ReplyBody | undefined): body is Extract<ReplyBody, { readonly kind: "stream" }> {
  return typeof body === "object" && "kind" in body && body.kind === "stream";
}

type BodyInit = ConstructorParameters<typeof Response>[0];

/** How a file becomes the body of a web `Response`: each runtime has its own best way. */
export type OpenFile = (path: string, range: ByteRange) => BodyInit;

/** Reads a file piece by piece as the reader takes them: good on every runtime. */
export const streamFile: OpenFile = (path, range) => toStream(readFile(path, range));

/** The reply as a web `Response`. For HEAD a body is not opened. */
export function toResponse(reply: Reply, method: string, openFile: OpenFile): Response {
  const { status, headers, webHeaders } = reply;
  if (method === "HEAD") return new Response(null, { status, headers: dated(webHeaders ?? new Headers(headers)) });
  const body = reply.body === undefined ? null : toBody(reply.body, openFile);
  return new Response(body, { status, headers: webHeaders ?? headers });
}

/** "An origin server with a clock MUST generate a Date header field" (RFC 9110, 6.6.1): the runtime forgets it on HEAD. */
function dated(headers: Headers): Headers {
  const date = httpDate();
  if (headers.get("date") !== date) headers.set("date", date);
  return headers;
}

function toBody(body: ReplyBody, openFile: OpenFile): BodyInit {
  if (typeof body === "string") return body;
  if (body instanceof Blob) return body;
  return body.kind === "file" ? openFile(body.path, body.range) : toStream(body.open());
}

/** Pulled piece by piece as the reader takes them; closing it early closes the source. */
function toStream(source: AsyncIterable<Uint8Array>): ReadableStream<Uint8Array> {
  const iterator = source[Symbol.asyncIterator]();
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await iterator.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    async cancel() {
      await iterator.return?.();
    },
  });
}
