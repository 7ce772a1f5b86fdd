/** What method, conditions and ranges make of a resource: RFC 9110, 13 and 14. */
import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { digestOf } from "../../oci/digest.ts";
import { RefusedWithHeaders } from "./error-reply.ts";
import { bytesBody, streamFile, toResponse } from "./reply.ts";
import { asksForAll, fullReply, jsonDocument, replyTo } from "./representation.ts";
import type { Representation } from "./representation.ts";

const BYTES = Buffer.from("0123456789");
const DIGEST = digestOf(BYTES);

const BLOB = {
  headers: { "cache-control": "max-age=1" },
  contentHeaders: { "content-type": "application/octet-stream" },
  digest: DIGEST,
  size: 10,
  body: bytesBody(BYTES),
  acceptsRanges: true,
} satisfies Representation;

/** The same bytes, wherever they are. */
const BODIES: Readonly<Record<string, Representation["body"] & {}>> = {
  "a text": "0123456789",
  "shared bytes": bytesBody(BYTES),
  bytes: { kind: "bytes", bytes: BYTES },
  "a stream": {
    kind: "stream",
    async *open(range = { start: 0, end: 9 }) {
      yield BYTES.subarray(range.start, range.end + 1);
    },
  },
};

function request(headers: Record<string, string> = {}, method = "GET"): Request {
  return new Request("http://localhost/v2/app/blobs/x", { method, headers });
}

/** The status and the code of what is thrown. */
function refusalOf(asked: Request, representation: Representation): object {
  try {
    return replyTo(asked, representation);
  } catch (error) {
    return error instanceof RefusedWithHeaders
      ? { ...(error.cause as object), headers: error.headers }
      : (error as object);
  }
}

describe("a representation", () => {
  test("is sent whole with 200, its entity tag and its length", () => {
    expect(fullReply(BLOB)).toEqual({
      status: 200,
      headers: {
        "cache-control": "max-age=1",
        "content-type": "application/octet-stream",
        etag: `"${DIGEST}"`,
        "accept-ranges": "bytes",
        "content-length": "10",
      },
      body: BLOB.body,
    });
    expect(replyTo(request(), BLOB)).toEqual(fullReply(BLOB));
  });

  test("without a size has no content-length, and without a body none", () => {
    expect(fullReply({ contentHeaders: {} })).toEqual({ status: 200, headers: {} });
  });

  test("is not sent to a client that has it: 304 with its validators and no word about the bytes", () => {
    const reply = replyTo(request({ "if-none-match": `"${DIGEST}"` }), BLOB);
    expect(reply).toEqual({
      status: 304,
      headers: { "cache-control": "max-age=1", etag: `"${DIGEST}"`, "accept-ranges": "bytes" },
    });
  });

  test("is refused with 412 to If-Match of another one, also for HEAD", () => {
    for (const method of ["GET", "HEAD"]) {
      expect(refusalOf(request({ "if-match": '"other"' }, method), BLOB)).toMatchObject({ status: 412 });
    }
  });

  test("without an entity tag ignores conditions and ranges", () => {
    const document = jsonDocument({ tags: [] });
    const asked = request({ "if-match": '"other"', "if-none-match": "*", range: "bytes=0-1" });
    expect(replyTo(asked, document)).toEqual(fullReply(document));
  });

  test("that takes no ranges is sent whole", () => {
    const { acceptsRanges: _, ...manifest } = BLOB;
    expect(replyTo(request({ range: "bytes=0-1" }), manifest)).toEqual(fullReply(manifest));
  });

  test("is sent whole to HEAD with a range (RFC 9110, 14.2)", () => {
    expect(replyTo(request({ range: "bytes=0-1" }, "HEAD"), BLOB)).toEqual(fullReply(BLOB));
  });

  test("is refused with 416 and its length to a range behind its end", () => {
    expect(refusalOf(request({ range: "bytes=10-" }), BLOB)).toMatchObject({
      code: "SIZE_INVALID",
      status: 416,
      headers: { "content-range": "bytes */10" },
    });
  });

  test("is sent whole when If-Range names another one", () => {
    expect(replyTo(request({ range: "bytes=0-1", "if-range": '"other"' }), BLOB).status).toBe(200);
    expect(replyTo(request({ range: "bytes=0-1", "if-range": `"${DIGEST}"` }), BLOB).status).toBe(206);
  });

  test("sends any part of its bytes, wherever they are", async () => {
    const ends = fc.tuple(fc.nat(9), fc.nat(9)).map((pair) => pair.toSorted((one, other) => one - other));
    const kinds = fc.constantFrom(...Object.keys(BODIES));
    await fc.assert(
      fc.asyncProperty(kinds, ends, async (kind, [start = 0, end = 0]) => {
        const body = BODIES[kind] ?? "";
        const reply = replyTo(request({ range: `bytes=${start}-${end}` }), { ...BLOB, body });
        expect(reply.headers).toMatchObject({
          "content-range": `bytes ${start}-${end}/10`,
          "content-length": String(end - start + 1),
        });
        expect(await toResponse(reply, "GET", streamFile).text()).toBe("0123456789".slice(start, end + 1));
      }),
    );
  });

  for (const [kind, body] of Object.entries(BODIES)) {
    test(`sends several parts of ${kind}, in the order they were asked for, and says how long all of that is`, async () => {
      const reply = replyTo(request({ range: "bytes=7-8,0-1" }), { ...BLOB, body });
      const text = await toResponse(reply, "GET", streamFile).text();
      expect(reply).toMatchObject({ status: 206, headers: { "content-length": String(text.length) } });
      expect(text).toMatch(/bytes 7-8\/10\r\n\r\n78\r\n.*bytes 0-1\/10\r\n\r\n01\r\n/s);
    });
  }
});

describe("a request", () => {
  test("asks for all unless it has a condition or a range", () => {
    expect(asksForAll(request({ accept: "*/*" }))).toBeTrue();
    for (const name of ["range", "if-match", "if-none-match"]) expect(asksForAll(request({ [name]: "x" }))).toBeFalse();
  });
});
