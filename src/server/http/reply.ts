/** What is answered, as a value: one place writes it. */
import { readLocation } from "../../lib/byte-location.ts";
import type { ByteLocation, FileLocation } from "../../lib/byte-location.ts";
import type { Answered } from "../../observe/access-log.ts";
import { LIMITS } from "./limits.ts";
import { REQUEST_ID } from "./request-id.ts";
import { httpDate } from "./http-date.ts";

/**
 * A short text, bytes in memory that all responses with the same `Blob` share (a `Uint8Array` is copied for each), or where the
 * bytes are: what is there is opened only when it will be sent, and the kernel sends a file.
 */
export type Body = string | Blob | ByteLocation;

/** All headers of a reply as the web has them. */
export interface SharedHeaders {
  readonly web: Headers;
  /** The same for HEAD, whose date is written here. */
  head?: Headers;
}

/** What costs the most of a reply to make. */
export interface Shared {
  readonly headers: SharedHeaders;
  /** What the access log says of it, for each method. */
  readonly answered: { GET?: Answered; HEAD?: Answered };
}

export interface Reply {
  readonly status: number;
  /** Names in lower case. `content-length` stands here whenever the length is known: HEAD needs it. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Body;
  /** Of a reply from the cache: what is made once, for all requests that it is served to. */
  readonly shared?: Shared;
  /** Answered as `X-Request-Id`, and for the log. */
  readonly requestId?: string;
  /** The trace that the request belongs to, for the log. */
  readonly traceId?: string;
  /** The client's address, for the log. */
  readonly address?: string | undefined;
  readonly user?: string | undefined;
  /** The kind of the endpoint that answered, and the repository that the path names: for the metrics. */
  readonly handler?: string | undefined;
  readonly repository?: string | undefined;
  /** Bytes of the request's body that were received; 0 when absent. */
  readonly received?: number | undefined;
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
  return {
    status,
    headers: { ...headers, "content-length": String(Buffer.byteLength(body)) },
    body: textBody(body),
  };
}

/** A text as a body. */
export function textBody(body: string): Body {
  return body.length > LIMITS.smallResponseBytes ? bytesBody(Buffer.from(body)) : body;
}

/** Bytes as a body. */
export function bytesBody(bytes: Uint8Array): Blob {
  // oxlint-disable-next-line typescript/no-unnecessary-type-assertion -- the types of browsers, which ui/ is checked with, need it
  return new Blob([bytes as Uint8Array<ArrayBuffer>]);
}

/**
 * Whether the body is a stream that is better read before it is sent: the runtime sends no `Content-Length` with a stream, and
 * one that breaks can be answered with its error.
 */
export function isShortStream(reply: Reply): boolean {
  const length = Number(reply.headers["content-length"] ?? Infinity);
  return locationIn(reply)?.kind === "stream" && length <= LIMITS.maxGatheredBytes;
}

/** The same reply with its stream read into memory; rejects when that breaks. */
export async function gathered(reply: Reply): Promise<Reply> {
  const location = locationIn(reply);
  if (location?.kind !== "stream") return reply;
  const pieces: Uint8Array[] = [];
  for await (const piece of location.open()) pieces.push(piece);
  return { ...reply, body: bytesBody(Buffer.concat(pieces)) };
}

/**
 * The same reply with its stream opened, once the first piece of it is there: one that cannot be read can still be answered with
 * its error. Other bodies, and HEAD, are left as they are.
 */
export async function opened(reply: Reply, method: string): Promise<Reply> {
  const location = locationIn(reply);
  if (location?.kind !== "stream" || method === "HEAD") return reply;
  const pieces = location.open()[Symbol.asyncIterator]();
  const first = await pieces.next();
  return { ...reply, body: { kind: "stream", isOpen: true, open: () => continued(first, pieces) } };
}

async function* continued(
  first: IteratorResult<Uint8Array>,
  rest: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  try {
    for (let step = first; !step.done; step = await rest.next()) yield step.value;
  } finally {
    await rest.return?.();
  }
}

/** Whether the body is a stream that has not been opened. */
export function isUnopened(reply: Reply): boolean {
  const location = locationIn(reply);
  return location?.kind === "stream" && !location.isOpen;
}

/** Where the bytes of the body are, unless they are in memory for all responses. */
export function locationIn({ body }: Reply): ByteLocation | undefined {
  return typeof body === "object" && !(body instanceof Blob) ? body : undefined;
}

/** How a file becomes the body of a web `Response`: each runtime has its own best way. */
export type OpenFile = (location: FileLocation) => Blob | ReadableStream<Uint8Array>;

/** Reads a file in pieces, with backpressure, on every runtime. */
export const streamFile: OpenFile = (location) => toStream(readLocation(location));

/** The reply as a web `Response`. For HEAD a body is not opened. */
export function toResponse(reply: Reply, method: string, openFile: OpenFile): Response {
  const response = responseOf(reply, method, openFile);
  if (reply.requestId !== undefined) response.headers.set(REQUEST_ID, reply.requestId);
  return response;
}

function responseOf(reply: Reply, method: string, openFile: OpenFile): Response {
  const { status, headers, shared } = reply;
  if (method === "HEAD") return new Response(null, { status, headers: dated(headHeadersOf(reply)) });
  const body = reply.body === undefined ? null : toBody(reply.body, openFile);
  return new Response(body, { status, headers: shared?.headers.web ?? headers });
}

function headHeadersOf({ headers, shared }: Reply): Headers {
  return shared ? (shared.headers.head ??= new Headers(headers)) : new Headers(headers);
}

/** "An origin server with a clock MUST generate a Date header field" (RFC 9110, 6.6.1): the runtime forgets it on HEAD. */
function dated(headers: Headers): Headers {
  const date = httpDate();
  if (headers.get("date") !== date) headers.set("date", date);
  return headers;
}

function toBody(body: Body, openFile: OpenFile): string | Blob | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array> {
  if (typeof body === "string" || body instanceof Blob) return body;
  switch (body.kind) {
    case "bytes":
      return body.bytes as Uint8Array<ArrayBuffer>;
    case "file":
      return openFile(body);
    case "stream":
      return toStream(body.open());
  }
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
