/**
 * `Range` on GET of a blob: what cannot be given is 416, what is no range of bytes is answered with the whole blob
 * (RFC 9110, 14.2: "A server … MAY ignore the Range header field").
 */
import { beforeAll, describe, expect, test } from "bun:test";
import { pushBlob } from "../support/client.ts";
import { bytesOf, digestOf } from "../support/content.ts";
import { bodyOf, request } from "../support/raw-request.ts";
import { expectRefused } from "./refusal.ts";
import { REPOSITORY, UNKNOWN_DIGEST, testAliveAndQuiet, testUnchanged, useWitness } from "./witness.ts";

const witness = useWitness();

/** One that is small enough to lie beside its row, and one that lies in a file. */
const BLOBS: readonly Uint8Array<ArrayBuffer>[] = [bytesOf("small", 2_000), bytesOf("large", 400_000)];

beforeAll(async () => {
  for (const blob of BLOBS) await pushBlob(witness().registry.url, REPOSITORY, blob);
  await pushBlob(witness().registry.url, REPOSITORY, new Uint8Array());
});

const targetOf = (blob: Uint8Array): string => `/v2/${REPOSITORY}/blobs/${digestOf(blob)}`;

for (const blob of BLOBS) {
  const size = blob.length;

  describe(`a range that a blob of ${size} bytes cannot give: 416 SIZE_INVALID, with its size`, () => {
    const rows: readonly (readonly [title: string, range: string])[] = [
      ["a suffix of no bytes", "bytes=-0"],
      ["a reversed range", "bytes=500-0"],
      ["an end just before the start", "bytes=500-499"],
      ["a start just beyond the end", `bytes=${size}-`],
      ["a range just beyond the end", `bytes=${size}-${size + 9}`],
      ["a range far beyond the end", "bytes=5000000-10000000"],
      ["a start beyond 32 bits", "bytes=4294967296-"],
      ["a start beyond what a double can count", "bytes=9007199254740993-"],
      ["a start beyond 64 bits", "bytes=18446744073709551616-"],
      ["a start of two hundred digits", `bytes=${"9".repeat(200)}-`],
      ["a reversed range beyond the end", `bytes=${size + 9}-${size}`],
    ];
    for (const [title, range] of rows) {
      test(`${title}: ${range.slice(0, 40)}`, async () => {
        const wanted = { target: targetOf(blob), headers: { Range: range } };
        const reply = await expectRefused(witness().registry, wanted, "416 SIZE_INVALID");
        // RFC 9110, 15.5.17: a 416 "SHOULD generate a Content-Range header field specifying the current length".
        expect(reply.headers["content-range"]).toBe(`bytes */${size}`);
      });
    }
    testUnchanged(witness);
  });

  describe(`what is no range of bytes of a blob of ${size}: 200 and the whole blob`, () => {
    const rows: readonly (readonly [title: string, range: string])[] = [
      ["another unit", "items=0-1"],
      ["another unit that begins alike", "bytesx=0-1"],
      ["no unit", "0-1"],
      ["an empty unit", "=0-1"],
      ["a unit alone", "bytes"],
      ["a colon for the equals sign", "bytes:0-1"],
      ["a space for the equals sign", "bytes 0-1"],
      ["an empty value", ""],
      ["no range", "bytes="],
      ["a dash alone", "bytes=-"],
      ["two dashes", "bytes=--1"],
      ["a number alone", "bytes=5"],
      ["words", "bytes=first-last"],
      ["three numbers", "bytes=1-2-3"],
      ["hexadecimal numbers", "bytes=0x0-0xf"],
      ["an exponent", "bytes=0-1e3"],
      ["fractions", "bytes=0.0-1.0"],
      ["a plus", "bytes=+0-1"],
      ["a negative end", "bytes=0--1"],
      ["full-width digits", Buffer.from("bytes=０-１").toString("latin1")],
      ["a semicolon for the comma", "bytes=0-1;2-3"],
      ["the syntax of Content-Range", "bytes 0-1/2"],
      ["a list with a word", "bytes=0-1,x-y"],
      ["a list with a word first", "bytes=x-y,0-1"],
      ["a list with a reversed part", "bytes=0-1,5-2"],
      ["a list with a part beyond the end", `bytes=0-1,${size}-`],
      ["a list with a suffix of no bytes", "bytes=0-1,-0"],
      ["a list with a unit in the middle", "bytes=0-1,bytes=2-3"],
      ["a list of a thousand good parts and a bad one", `bytes=${"0-1,".repeat(1000)}oops`],
    ];
    for (const [title, range] of rows) {
      test(title, async () => {
        const reply = await request(witness().registry.port, { target: targetOf(blob), headers: { Range: range } });
        expect(reply.status).toBe(200);
        expect(reply.headers["content-length"]).toBe(`${size}`);
        expect(reply.headers["content-range"]).toBeUndefined();
        expect(bodyOf(reply).equals(blob)).toBe(true);
      });
    }

    test("two headers, in chunks or with its length", async () => {
      const headers = { Range: ["bytes=0-1", "bytes=2-3"] };
      const reply = await request(witness().registry.port, { target: targetOf(blob), headers });
      expect(reply.status).toBe(200);
      expect(reply.headers["content-range"]).toBeUndefined();
      expect(bodyOf(reply).equals(blob)).toBe(true);
    });

    for (const ifRange of [
      '"another"',
      digestOf("another"),
      `"${UNKNOWN_DIGEST}"`,
      "nonsense",
      `W/"${digestOf(blob)}"`,
    ]) {
      test(`a range under the condition If-Range: ${ifRange.slice(0, 24)}`, async () => {
        const headers = { Range: "bytes=0-9", "If-Range": ifRange };
        const reply = await request(witness().registry.port, { target: targetOf(blob), headers });
        expect(reply.status).toBe(200);
        expect(bodyOf(reply).equals(blob)).toBe(true);
      });
    }
    testUnchanged(witness);
  });

  describe(`a range that reaches over the end of a blob of ${size} bytes is cut there: 206`, () => {
    const rows: readonly (readonly [range: string, start: number])[] = [
      [`bytes=500-${size}`, 500],
      [`bytes=500-${size + 1_000}`, 500],
      ["bytes=500-99999999999999999999", 500],
      [`bytes=0-${"9".repeat(200)}`, 0],
      [`bytes=-${size + 1}`, 0],
      ["bytes=-99999999999999999999", 0],
      [`bytes=${size - 1}-`, size - 1],
    ];
    for (const [range, start] of rows) {
      test(range.slice(0, 40), async () => {
        const reply = await request(witness().registry.port, { target: targetOf(blob), headers: { Range: range } });
        expect(reply.status).toBe(206);
        expect(reply.headers["content-range"]).toBe(`bytes ${start}-${size - 1}/${size}`);
        expect(bodyOf(reply).equals(blob.subarray(start))).toBe(true);
      });
    }
  });
}

describe("a Range on an empty blob is ignored: 200", () => {
  for (const range of ["bytes=0-", "bytes=0-0", "bytes=0-9", "bytes=-0", "bytes=-5", "bytes=1-0", "bytes=0-0,2-3"]) {
    test(range, async () => {
      const wanted = { target: targetOf(new Uint8Array()), headers: { Range: range } };
      const reply = await request(witness().registry.port, wanted);
      expect(reply).toMatchObject({ status: 200, body: "" });
      expect(reply.headers["content-length"]).toBe("0");
      expect(reply.headers).not.toHaveProperty("content-range");
    });
  }
  testUnchanged(witness);
});

describe("a range of a blob that is not here is a blob that is not here", () => {
  for (const range of ["bytes=0-1", "bytes=500-0", "bytes=0-1,2-3", "nonsense"]) {
    test(`${range}: 404 BLOB_UNKNOWN`, async () => {
      const wanted = { target: `/v2/${REPOSITORY}/blobs/${UNKNOWN_DIGEST}`, headers: { Range: range } };
      await expectRefused(witness().registry, wanted, "404 BLOB_UNKNOWN");
    });
  }
  testUnchanged(witness);
});

describe("1,024 ranges in one header are answered part by part", () => {
  const large = bytesOf("very large", 12_000_000);
  const starts = Array.from({ length: 1024 }, (_, part) => 10_000_000 + part * 1_900);
  beforeAll(() => pushBlob(witness().registry.url, REPOSITORY, large));

  // Podman was seen to send 1,023 ranges in 18 KB; with spaces after the commas it is 20 KiB.
  for (const [title, comma, bytes] of [
    ["18 KiB", ",", 18 * 1024],
    ["20 KiB", ",  ", 20 * 1024],
  ] as const) {
    test(`in a header of ${title}: 206 multipart/byteranges, in the order asked for`, async () => {
      const range = `bytes=${starts.map((start) => `${start}-${start + 9}`).join(comma)}`;
      expect(range.length).toBeGreaterThan(bytes);
      const reply = await fetch(witness().registry.url + targetOf(large), { headers: { range } });
      expect(reply.status).toBe(206);
      const boundary = /^multipart\/byteranges; ?boundary="?([^"]+)"?$/.exec(
        reply.headers.get("content-type") ?? "",
      )?.[1];
      expect(boundary).toBeDefined();
      const text = Buffer.from(await reply.arrayBuffer()).toString("latin1");
      const parts = text.split(`--${boundary}`).slice(1, -1);
      expect(parts.length).toBe(starts.length);
      for (const [at, part] of parts.entries()) {
        const start = starts[at] ?? 0;
        const [head = "", ...body] = part.split("\r\n\r\n");
        expect(head.toLowerCase()).toContain(`content-range: bytes ${start}-${start + 9}/${large.length}`);
        const expected = Buffer.from(large.subarray(start, start + 10)).toString("latin1");
        expect(body.join("\r\n\r\n")).toBe(`${expected}\r\n`);
      }
    });
  }

  test("two ranges that overlap and come in reverse stay two", async () => {
    const reply = await fetch(witness().registry.url + targetOf(large), { headers: { range: "bytes=100-199,50-149" } });
    expect(reply.status).toBe(206);
    const text = await reply.text();
    const [second, first] = [text.indexOf("bytes 50-149/"), text.indexOf("bytes 100-199/")];
    expect(first).toBeGreaterThan(0);
    expect(second).toBeGreaterThan(first);
  });
  testUnchanged(witness);
});

testAliveAndQuiet(witness);
