/**
 * What a resource is, and the one place where a request's method, conditions and ranges are applied to it: to one that was just
 * read, and to one from the cache.
 */
import { randomUUID } from "node:crypto";
import { partOf, readLocation } from "../../lib/byte-location.ts";
import type { ByteLocation, Fingerprint } from "../../lib/byte-location.ts";
import type { ByteRange } from "../../lib/byte-range.ts";
import { OciError } from "../../oci/error.ts";
import type { HeaderMap } from "./common-headers.ts";
import { entityTag, isNotModified, rangeApplies } from "./conditions.ts";
import { RefusedWithHeaders } from "./error-reply.ts";
import { parseRange } from "./ranges.ts";
import { bytesBody, empty, textBody } from "./reply.ts";
import type { Body, Reply } from "./reply.ts";

export interface Representation {
  /** Headers of every reply about the resource, of 304 too (RFC 9110, 15.4.5). */
  readonly headers?: HeaderMap;
  /** Headers that describe the bytes, such as `content-type`: of 200 and 206. */
  readonly contentHeaders: HeaderMap;
  /** The digest of the bytes, which makes a strong entity tag; conditions are ignored when absent. */
  readonly digest?: string;
  /** Bytes; undefined while that is not known. */
  readonly size?: number;
  /** Absent when HEAD alone was asked, and the bytes were not read. */
  readonly body?: Body;
  /** Whether parts of the bytes are sent (RFC 9110, 14.3). */
  readonly acceptsRanges?: boolean;
  /** Present when the response may be cached: how a cached one is known to be valid. */
  readonly cacheable?: Validity;
}

/**
 * What a cached representation rests on besides the revision of its repository, or of the whole registry for a resource that
 * is of no repository (`response-cache.ts`). It is data, so that what is cached holds on to no request.
 */
export interface Validity {
  /** The file that holds the bytes. */
  readonly file?: Fingerprint | undefined;
}

/** Of a JSON document; its `type` is `application/json` when absent. */
export type JsonOptions = Omit<Partial<Representation>, "contentHeaders"> & { readonly type?: string };

/** Returns the representation of a JSON document. */
export function jsonDocument(value: unknown, options?: JsonOptions): Representation {
  return jsonText(JSON.stringify(value), options);
}

/** Returns the representation of the text of a JSON document. The type has no charset: clients compare it letter by letter. */
export function jsonText(text: string, { type = "application/json", ...more }: JsonOptions = {}): Representation {
  return { ...more, contentHeaders: { "content-type": type }, size: Buffer.byteLength(text), body: textBody(text) };
}

/** Returns the body for bytes that are to be had at `location`. Bytes in memory are shared by all responses. */
export function bodyAt(location: ByteLocation): Body {
  return location.kind === "bytes" ? bytesBody(location.bytes) : location;
}

/** Whether a request has neither conditions nor ranges, so that the reply is the same for all. */
export function asksForAll({ headers }: Request): boolean {
  return !headers.has("range") && !headers.has("if-none-match") && !headers.has("if-match");
}

/** Returns the reply to a request for the resource; throws the refusal with 412 or 416. */
export function replyTo(request: Request, representation: Representation): Reply {
  if (asksForAll(request)) return fullReply(representation);
  const { method, headers } = request;
  const { digest, size, body, acceptsRanges = false } = representation;
  if (digest !== undefined && isNotModified(headers, digest)) return empty(304, sharedHeaders(representation));
  // "Range … method semantics … GET" (RFC 9110, 14.2): ignored for HEAD.
  if (!acceptsRanges || method !== "GET" || size === undefined || body === undefined) return fullReply(representation);
  const asked = parseRange(rangeApplies(headers, digest) ? headers.get("range") : null, size);
  switch (asked.kind) {
    case "whole":
      return fullReply(representation);
    case "unsatisfiable":
      throw rangeNotSatisfiable(size);
    case "ranges": {
      const content = { ...sharedHeaders(representation), ...representation.contentHeaders };
      const [range, ...others] = asked.ranges;
      return others.length === 0
        ? partReply(content, body, range, size)
        : partsReply(content, body, asked.ranges, size);
    }
  }
}

/** Returns the reply to a request without conditions and ranges. */
export function fullReply(representation: Representation): Reply {
  const { contentHeaders, size, body } = representation;
  const length = size === undefined ? {} : { "content-length": String(size) };
  return {
    status: 200,
    headers: { ...sharedHeaders(representation), ...contentHeaders, ...length },
    ...(body !== undefined && { body }),
  };
}

function sharedHeaders({ headers, digest, acceptsRanges = false }: Representation): HeaderMap {
  return {
    ...headers,
    ...(digest !== undefined && { etag: entityTag(digest) }),
    ...(acceptsRanges && { "accept-ranges": "bytes" }),
  };
}

/** "A server generating a 416 … SHOULD generate a Content-Range header field specifying the current length" (RFC 9110, 15.5.17). */
function rangeNotSatisfiable(size: number): RefusedWithHeaders {
  const refusal = new OciError("SIZE_INVALID", {
    status: 416,
    message: `the blob has ${size} bytes: ask for a range within them`,
    detail: { size },
  });
  return new RefusedWithHeaders(refusal, { "content-range": `bytes */${size}` });
}

function partReply(headers: HeaderMap, body: Body, range: ByteRange, size: number): Reply {
  return {
    status: 206,
    headers: {
      ...headers,
      "content-range": contentRange(range, size),
      "content-length": String(range.end - range.start + 1),
    },
    body: partOfBody(body, range),
  };
}

/** Several ranges, each a part of its own in the order they were asked for (RFC 9110, 14.6). */
function partsReply(headers: HeaderMap, body: Body, ranges: readonly ByteRange[], size: number): Reply {
  const boundary = randomUUID();
  const parts = ranges.map((range) => ({
    range,
    head:
      `\r\n--${boundary}\r\nContent-Type: ${headers["content-type"] ?? "application/octet-stream"}\r\n` +
      `Content-Range: ${contentRange(range, size)}\r\n\r\n`,
  }));
  const tail = `\r\n--${boundary}--\r\n`;
  const length = parts.reduce((sum, { range, head }) => sum + head.length + range.end - range.start + 1, tail.length);
  return {
    status: 206,
    headers: {
      ...headers,
      "content-type": `multipart/byteranges; boundary=${boundary}`,
      "content-length": String(length),
    },
    body: {
      kind: "stream",
      async *open() {
        for (const { range, head } of parts) {
          yield Buffer.from(head);
          yield* readBody(partOfBody(body, range));
        }
        yield Buffer.from(tail);
      },
    },
  };
}

function contentRange({ start, end }: ByteRange, size: number): string {
  return `bytes ${start}-${end}/${size}`;
}

function partOfBody(body: Body, range: ByteRange): Body {
  if (typeof body === "string") return partOfBody(bytesBody(Buffer.from(body)), range);
  return body instanceof Blob ? body.slice(range.start, range.end + 1) : partOf(body, range);
}

async function* readBody(body: Body): AsyncGenerator<Uint8Array> {
  if (typeof body === "string") yield Buffer.from(body);
  else if (body instanceof Blob) yield await body.bytes();
  else yield* readLocation(body);
}
