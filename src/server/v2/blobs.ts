/** Blobs over HTTP: pull (end-2) and delete (end-10). */
import { randomUUID } from "node:crypto";
import { digest as digestIn } from "../../oci/digest.ts";
import type { Digest } from "../../oci/digest.ts";
import { OciError } from "../../oci/error.ts";
import { repositoryName } from "../../oci/repository-name.ts";
import type { Blob } from "../../registry/blobs.ts";
import type { ByteRange } from "../../lib/byte-range.ts";
import { entityTag, notModified, rangeApplies } from "../http/conditions.ts";
import type { Context } from "../context.ts";
import { RefusedWithHeaders } from "../http/error-reply.ts";
import { parseRange } from "../http/ranges.ts";
import { bytesBody, empty } from "../http/reply.ts";
import type { Reply, ReplyBody } from "../http/reply.ts";
import type { Route } from "../routes.ts";

type BlobRoute = Extract<Route, { kind: "blob" }>;

/** What a digest names never changes: a client may keep it for a year. */
const CACHE_CONTROL = "max-age=31536000";

export async function getBlob({ namespace, request, authorization }: Context, route: BlobRoute): Promise<Reply> {
  const name = repositoryName(route.name);
  const digest = digestIn(route.digest);
  const blob = await namespace.repository(name).blobs.get(digest, { renews: authorization.may("push", name) });
  return answersAbout(digest, blob)(request);
}

/** Made apart from any request, for it outlives them. */
function answersAbout(digest: Digest, blob: Blob): (request: Request) => Reply {
  const holds = (): boolean => blob.isUnchanged();
  const adapted = (request: Request): Reply => {
    const reply = answerAbout(digest, blob, request);
    return reply.status === 307 ? reply : { ...reply, holds, adapted }; // the address to go to is good for a while only
  };
  return adapted;
}

function answerAbout(digest: Digest, blob: Blob, { method, headers: wishes }: Request): Reply {
  const facts = {
    // "the registry … MUST return … Docker-Content-Digest": the digest that was asked for, in its algorithm.
    "docker-content-digest": digest,
    etag: entityTag(digest),
    "cache-control": CACHE_CONTROL,
    "accept-ranges": "bytes",
  };
  const fresh = notModified(wishes, digest, facts);
  if (fresh) return fresh;
  const headers = {
    ...facts,
    "content-type": "application/octet-stream",
    "content-disposition": "attachment", // else Bun tells the name of the file
  };

  // A range belongs to GET alone (RFC 9110, 14.2).
  const wanted = parseRange(method === "GET" && rangeApplies(wishes, digest) ? wishes.get("range") : null, blob.size);
  switch (wanted.kind) {
    case "whole":
      return wholeReply(blob, headers);
    case "unsatisfiable":
      throw new RefusedWithHeaders(
        new OciError("SIZE_INVALID", {
          status: 416,
          message: `the blob has ${blob.size} bytes: ask for a range within them`,
          detail: { size: blob.size },
        }),
        { "content-range": `bytes */${blob.size}` },
      );
    case "ranges": {
      const [range, ...others] = wanted.ranges;
      return others.length === 0 ? rangeReply(blob, range, headers) : rangesReply(blob, wanted.ranges, headers);
    }
  }
}

export async function deleteBlob({ namespace }: Context, route: BlobRoute): Promise<Reply> {
  const name = repositoryName(route.name);
  await namespace.repository(name).blobs.delete(digestIn(route.digest));
  return empty(202);
}

function wholeReply(blob: Blob, headers: Readonly<Record<string, string>>): Reply {
  const length = { "content-length": String(blob.size) };
  const reply = blob.reply();
  if (reply.kind === "redirect") return empty(307, { ...headers, location: reply.url.href });
  return {
    status: 200,
    headers: { ...headers, ...length },
    body: bodyOf(blob, { start: 0, end: blob.size - 1 }),
  };
}

function rangeReply(blob: Blob, range: ByteRange, headers: Readonly<Record<string, string>>): Reply {
  return {
    status: 206,
    headers: {
      ...headers,
      "content-range": contentRange(range, blob.size),
      "content-length": String(range.end - range.start + 1),
    },
    body: bodyOf(blob, range),
  };
}

/** Several ranges, each a part of its own in the order they were asked for (RFC 9110, 14.6). */
function rangesReply(blob: Blob, ranges: readonly ByteRange[], headers: Readonly<Record<string, string>>): Reply {
  const boundary = randomUUID();
  const heads = ranges.map(
    (range) =>
      `\r\n--${boundary}\r\nContent-Type: application/octet-stream\r\n` +
      `Content-Range: ${contentRange(range, blob.size)}\r\n\r\n`,
  );
  const tail = `\r\n--${boundary}--\r\n`;
  const length = ranges.reduce(
    (sum, range, at) => sum + (heads[at]?.length ?? 0) + range.end - range.start + 1,
    tail.length,
  );
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
        for (const [at, range] of ranges.entries()) {
          yield Buffer.from(heads[at] ?? "");
          yield* blob.read(range);
        }
        yield Buffer.from(tail);
      },
    },
  };
}

function contentRange({ start, end }: ByteRange, size: number): string {
  return `bytes ${start}-${end}/${size}`;
}

function bodyOf(blob: Blob, range: ByteRange): ReplyBody {
  if (range.end < range.start) return "";
  const source = blob.reply();
  switch (source.kind) {
    case "bytes":
      return bytesBody(source.bytes.subarray(range.start, range.end + 1));
    case "file":
      return { kind: "file", path: source.path, range };
    case "stream":
      return { kind: "stream", open: () => source.open(range) };
    case "redirect":
      return { kind: "stream", open: () => blob.read(range) };
  }
}
