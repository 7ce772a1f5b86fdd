/** Parts of blobs ("A registry SHOULD support the Range request header in accordance with RFC 9110, section 14"). */
import { beforeAll, describe, expect, test } from "bun:test";
import {
  bytesOf,
  descriptorOf,
  digestOf,
  imageManifest,
  OCI_CONFIG,
  OCI_LAYER,
  OCI_MANIFEST,
} from "../support/content.ts";
import { expectRefused } from "../support/expect-refused.ts";
import { RepositoryClient } from "../support/repository-client.ts";
import { useRegistry } from "../support/use-registry.ts";
import { POST_PUT } from "./push-ways.ts";
import { holds } from "./sessions.ts";

const registry = useRegistry();
const repository = (): RepositoryClient => new RepositoryClient(registry().url, "ranges/blobs");

/** One that stores may keep inline, of the official suite's size, and one that lies in a file. */
const SIZES = [2048, 100_000] as const;

/** Those that an image needs may be remembered from one request to the next. */
const blobs = SIZES.flatMap((size) =>
  [false, true].map((isNeeded) => {
    const bytes = bytesOf(`ranges ${isNeeded}`, size);
    return {
      what: `${isNeeded ? "an image's" : "a"} blob of ${size} bytes`,
      size,
      bytes,
      digest: digestOf(bytes),
      isNeeded,
    };
  }),
);
const LARGE = blobs.at(-1)!;
const EMPTY = digestOf("");

beforeAll(async () => {
  for (const { bytes, digest } of blobs) await POST_PUT.push(repository(), bytes, digest);
  await POST_PUT.push(repository(), new Uint8Array(), EMPTY);
  const [config = LARGE, ...layers] = blobs.filter(({ isNeeded }) => isNeeded);
  const body = imageManifest(
    descriptorOf(OCI_CONFIG, config.bytes),
    layers.map(({ bytes }) => descriptorOf(OCI_LAYER, bytes)),
  );
  const reply = await repository().send("PUT", "manifests/v1", { body, headers: { "content-type": OCI_MANIFEST } });
  expect(reply.status).toBe(201);
});

for (const { what, size, bytes, digest } of blobs) {
  const get = (range: string, headers: Readonly<Record<string, string>> = {}): Promise<Response> =>
    repository().get(`blobs/${digest}`, { range, ...headers });

  describe(`${what}: one range gives that part, with 206`, () => {
    const rows: readonly (readonly [range: string, start: number, last: number])[] = [
      ["bytes=500-1499", 500, 1499],
      ["bytes=500-", 500, size - 1],
      ["bytes=-500", size - 500, size - 1],
      ["bytes=0-0", 0, 0],
      ["bytes=0-", 0, size - 1],
      [`bytes=0-${size - 1}`, 0, size - 1],
      [`bytes=${size - 1}-${size - 1}`, size - 1, size - 1],
      [`bytes=${size - 1}-`, size - 1, size - 1],
      ["bytes=-1", size - 1, size - 1],
      // "If … the value is greater than or equal to the current length …, the byte range is interpreted as the remainder".
      [`bytes=2000-${size + 5000}`, 2000, size - 1],
      // regclient resumes with the size where the last byte belongs.
      [`bytes=1000-${size}`, 1000, size - 1],
      ["bytes=1-99999999999999999999", 1, size - 1],
      // "If the selected representation is shorter than the specified suffix-length, the entire … is used."
      [`bytes=-${size}`, 0, size - 1],
      [`bytes=-${size + 1}`, 0, size - 1],
    ];
    for (const [range, start, last] of rows) {
      test(range, async () => {
        const reply = await get(range);
        expect(reply.status).toBe(206);
        expect(reply.headers.get("content-range")).toBe(`bytes ${start}-${last}/${size}`);
        expect(reply.headers.get("content-length")).toBe(`${last - start + 1}`);
        expect(reply.headers.get("content-type")).toBe("application/octet-stream");
        expect(reply.headers.get("accept-ranges")).toBe("bytes");
        expect(reply.headers.get("docker-content-digest")).toBe(digest);
        expect(reply.headers.get("etag")).toBe(`"${digest}"`);
        expect(await holds(reply, bytes.slice(start, last + 1))).toBe(true);
      });
    }
  });

  describe(`${what}: a range that cannot be satisfied is refused with 416`, () => {
    const rows = [
      "bytes=500-0",
      `bytes=${size}-`,
      `bytes=${size}-${size}`,
      `bytes=${size + 1000}-${size + 9000}`,
      "bytes=-0",
    ];
    for (const range of rows) {
      test(range, async () => {
        const reply = await get(range);
        // "A server generating a 416 response to a byte-range request SHOULD generate a Content-Range header field".
        expect(reply.headers.get("content-range")).toBe(`bytes */${size}`);
        await expectRefused(reply, 416, "SIZE_INVALID");
      });
    }
  });

  describe(`${what}: what is no range of bytes is ignored`, () => {
    const rows = [
      "items=0-1",
      "bytes",
      "bytes=",
      "bytes=-",
      "bytes=a-b",
      "bytes=1",
      "bytes=--1",
      "bytes=0x10-0x20",
      "0-99",
      // A list with one bad part.
      "bytes=0-99,x",
      "bytes=0-99,500-0",
      `bytes=0-99,${size}-`,
    ];
    for (const range of rows) {
      test(range, async () => {
        const reply = await get(range);
        expect(reply.status).toBe(200);
        expect(reply.headers.get("content-range")).toBeNull();
        expect(reply.headers.get("content-length")).toBe(`${size}`);
        expect(await holds(reply, bytes)).toBe(true);
      });
    }
  });

  describe(`${what}: several ranges give as many parts, in the order they were asked for`, () => {
    const rows: readonly (readonly [range: string, ...parts: readonly (readonly [number, number])[]])[] = [
      ["bytes=0-99,200-299", [0, 99], [200, 299]],
      ["bytes=1000-1099,0-99,500-599", [1000, 1099], [0, 99], [500, 599]],
      // Neighbours are not merged: podman counts the parts.
      ["bytes=0-99,100-199", [0, 99], [100, 199]],
      ["bytes=0-99,50-149", [0, 99], [50, 149]],
      ["bytes=0-9, 20-29 ,40-49", [0, 9], [20, 29], [40, 49]],
      ["bytes=0-0,-1", [0, 0], [size - 1, size - 1]],
      [`bytes=${size - 10}-,0-9`, [size - 10, size - 1], [0, 9]],
      [`bytes=0-9,${size - 5}-${size + 100}`, [0, 9], [size - 5, size - 1]],
      ["bytes=7-7,7-7", [7, 7], [7, 7]],
    ];
    for (const [range, ...parts] of rows) {
      test(range, async () => {
        const reply = await get(range);
        expect(reply.status).toBe(206);
        expect(reply.headers.get("content-range")).toBeNull();
        expect(reply.headers.get("docker-content-digest")).toBe(digest);
        expect(await partsOf(reply)).toEqual(
          parts.map(([start, last]) => ({
            type: "application/octet-stream",
            range: `bytes ${start}-${last}/${size}`,
            body: Buffer.from(bytes.slice(start, last + 1)).toString("latin1"),
          })),
        );
      });
    }
  });

  test(`${what}: If-Range lets the range be when the blob is the same`, async () => {
    const reply = await get("bytes=0-9", { "if-range": `"${digest}"` });
    expect(reply.status).toBe(206);
    expect(await holds(reply, bytes.slice(0, 10))).toBe(true);
  });

  test(`${what}: If-Range gives the whole when it is another`, async () => {
    // "A client MUST NOT generate an If-Range … that is marked as weak"; a date never matches an entity without one.
    for (const other of [`"${digestOf("other")}"`, `W/"${digest}"`, "Wed, 21 Oct 2015 07:28:00 GMT"]) {
      for (const range of ["bytes=0-9", "bytes=0-9,20-29", "bytes=500-0"]) {
        const reply = await get(range, { "if-range": other });
        expect(reply.status).toBe(200);
        expect(await holds(reply, bytes)).toBe(true);
      }
    }
  });

  test(`${what}: HEAD knows no ranges`, async () => {
    // "A server MUST ignore a Range header field received with a request method that is unrecognized or for which range
    // handling is not defined. For this specification, GET is the only method" (RFC 9110, 14.2).
    for (const range of ["bytes=0-9", "bytes=500-0", "bytes=0-9,20-29"]) {
      const reply = await repository().head(`blobs/${digest}`, { range });
      expect(reply.status).toBe(200);
      expect(reply.headers.get("content-length")).toBe(`${size}`);
    }
  });
}

test("a Range on the empty blob is ignored: 200", async () => {
  for (const range of ["bytes=0-", "bytes=0-0", "bytes=-0"]) {
    const reply = await repository().get(`blobs/${EMPTY}`, { range });
    expect(reply.status).toBe(200);
    expect(reply.headers.get("content-length")).toBe("0");
    expect(await reply.text()).toBe("");
  }
});

test("podman's 1,023 ranges, in a header of 17 KiB, give 1,023 parts", async () => {
  const { bytes, digest } = LARGE;
  const wanted = Array.from({ length: 1023 }, (_, at) => [at * 97 + 10, at * 97 + 19] as const);
  // Far into a layer of gigabytes the numbers are long; zeros before them make the header as long here.
  const range = `bytes=${wanted.map((part) => part.map((byte) => String(byte).padStart(8, "0")).join("-")).join(",")}`;
  expect(range.length).toBeGreaterThan(17 * 1024);
  const reply = await repository().get(`blobs/${digest}`, { range });
  expect(reply.status).toBe(206);
  const parts = await partsOf(reply);
  expect(parts.map(({ body }) => body)).toEqual(
    wanted.map(([start, last]) => Buffer.from(bytes.slice(start, last + 1)).toString("latin1")),
  );
});

test("an open range may be read for a while and dropped; the next one is served", async () => {
  const { bytes, digest } = LARGE;
  for (const start of [0, 1000, 50_000]) {
    const reply = await repository().get(`blobs/${digest}`, { range: `bytes=${start}-` });
    expect(reply.status).toBe(206);
    await reply.body?.cancel();
  }
  const reply = await repository().get(`blobs/${digest}`);
  expect(await holds(reply, bytes)).toBe(true);
});

test("a blob is put together again from parts that were asked for at once", async () => {
  const { size, bytes, digest } = LARGE;
  const starts = Array.from({ length: 10 }, (_, at) => (at * size) / 10);
  const parts = await Promise.all(
    starts.map(async (start) => {
      const reply = await repository().get(`blobs/${digest}`, { range: `bytes=${start}-${start + size / 10 - 1}` });
      expect(reply.status).toBe(206);
      return Buffer.from(await reply.arrayBuffer());
    }),
  );
  expect(Buffer.concat(parts).equals(bytes)).toBe(true);
});

interface Part {
  readonly type: string | undefined;
  readonly range: string | undefined;
  readonly body: string;
}

/** Reads `multipart/byteranges` (RFC 9110, 14.6): the boundary is in the type, and the length, if any, is right. */
async function partsOf(reply: Response): Promise<readonly Part[]> {
  const [, boundary] =
    /^multipart\/byteranges; boundary="?([\w'()+,./:=?-]{1,70})"?$/.exec(reply.headers.get("content-type") ?? "") ?? [];
  expect(boundary).toBeString();
  const body = Buffer.from(await reply.arrayBuffer()).toString("latin1");
  expect(reply.headers.get("content-length") ?? `${body.length}`).toBe(`${body.length}`);
  const pieces = `\r\n${body}`.replace(/^(\r\n)+/, "\r\n").split(`\r\n--${boundary}`);
  expect(pieces.shift()).toBe("");
  expect(pieces.pop()?.trimEnd()).toBe("--");
  return pieces.map((piece) => {
    const end = piece.indexOf("\r\n\r\n");
    const headers = new Map(
      piece
        .slice(2, end)
        .split("\r\n")
        .map((line) => {
          const colon = line.indexOf(":");
          return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
        }),
    );
    return { type: headers.get("content-type"), range: headers.get("content-range"), body: piece.slice(end + 4) };
  });
}
