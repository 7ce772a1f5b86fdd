/**
 * `Content-Range` on PATCH and PUT of an upload: what is not in order is refused with 416, what has another length with
 * 400, nothing of it is kept, and the session goes on (distribution-spec, "Pushing a blob in chunks").
 */
import { describe, expect, test } from "bun:test";
import { request } from "../support/raw-request.ts";
import type { RawRequest } from "../support/raw-request.ts";
import { expectRefused } from "./refusal.ts";
import type { Refusal } from "./refusal.ts";
import { BLOB, BLOB_DIGEST, FIRST_HALF, SECOND_HALF, Session, sizeOf } from "./session.ts";
import { REPOSITORY, UNKNOWN_DIGEST, testAliveAndQuiet, testUnchanged, useWitness } from "./witness.ts";

const witness = useWitness();

type Method = "PATCH" | "PUT";

interface Row {
  readonly title: string;
  /** Several are sent as several headers. */
  readonly contentRange: string | readonly string[];
  /** The second half of the blob when absent. */
  readonly body?: Uint8Array<ArrayBuffer>;
}

const OUT_OF_ORDER: readonly Row[] = [
  { title: "a word", contentRange: "nonsense" },
  { title: "an empty value", contentRange: "" },
  { title: "a dash alone", contentRange: "-" },
  { title: "no end", contentRange: "512-" },
  { title: "no start", contentRange: "-1023" },
  { title: "a start alone", contentRange: "512" },
  { title: "the syntax of Range", contentRange: "bytes=512-1023" },
  { title: "another unit", contentRange: "items 512-1023/1024" },
  { title: "a unit without a range", contentRange: "bytes */1024" },
  { title: "an underscore for the dash", contentRange: "512_1023" },
  { title: "a dash that is not ASCII's", contentRange: Buffer.from("512–1023").toString("latin1") },
  { title: "two dashes", contentRange: "512--1023" },
  { title: "three numbers", contentRange: "512-767-1023" },
  { title: "two ranges", contentRange: "512-767,768-1023" },
  { title: "two headers that agree", contentRange: ["512-1023", "512-1023"] },
  { title: "two headers that disagree", contentRange: ["512-1023", "0-511"] },
  { title: "hexadecimal numbers", contentRange: "0x200-0x3ff" },
  { title: "an exponent", contentRange: "5.12e2-1023" },
  { title: "fractions", contentRange: "512.0-1023.0" },
  { title: "a plus before the start", contentRange: "+512-1023" },
  { title: "a plus before the end", contentRange: "512-+1023" },
  { title: "a negative start", contentRange: "-512-1023" },
  { title: "spaces around the dash", contentRange: "512 - 1023" },
  { title: "letters behind", contentRange: "512-1023x" },
  { title: "digits with separators", contentRange: "512-1_023" },
  { title: "full-width digits", contentRange: Buffer.from("５１２-１０２３").toString("latin1") },
  { title: "Arabic digits", contentRange: Buffer.from("٥١٢-١٠٢٣").toString("latin1") },
  { title: "a reversed range", contentRange: "1023-512" },
  { title: "an end just before the start", contentRange: "512-511" },
  { title: "a gap of one byte", contentRange: "513-1024" },
  { title: "a gap of a chunk", contentRange: "1024-1535" },
  { title: "an overlap of one byte", contentRange: "511-1022" },
  { title: "an overlap of half a chunk", contentRange: "256-767" },
  { title: "the first chunk once more", contentRange: "0-511", body: FIRST_HALF },
  { title: "the whole blob from its start", contentRange: "0-1023", body: BLOB },
  { title: "far beyond", contentRange: "1000000-1000511" },
  { title: "beyond what a double can count", contentRange: "9007199254740993-9007199254741504" },
  { title: "beyond 64 bits", contentRange: "18446744073709552128-18446744073709552639" },
  { title: "a start of two hundred digits", contentRange: `${"9".repeat(200)}-${"9".repeat(200)}` },
  { title: "a wrong start and a wrong length", contentRange: "600-700" },
  { title: "a wrong start and no bytes", contentRange: "0-511", body: new Uint8Array() },
];

const OF_ANOTHER_LENGTH: readonly Row[] = [
  { title: "one byte more than it says", contentRange: "512-1022" },
  { title: "one byte less than it says", contentRange: "512-1024" },
  { title: "many bytes more than it says", contentRange: "512-512" },
  { title: "many bytes less than it says", contentRange: "512-1000000" },
  { title: "no bytes at all", contentRange: "512-1023", body: new Uint8Array() },
  { title: "in HTTP's own syntax, one byte more", contentRange: "bytes 512-1022/1023" },
];

/** A request with a bad range; a PUT's digest would be right for the blob in order. */
function chunk(
  method: Method,
  session: Session,
  { contentRange, body = SECOND_HALF }: Row,
  isChunked: boolean,
): RawRequest {
  return {
    method,
    target: method === "PUT" ? session.with(`digest=${BLOB_DIGEST}`) : session.path,
    headers: { "Content-Range": contentRange, "Content-Type": "application/octet-stream" },
    ...(isChunked ? { chunks: body.length > 0 ? [body] : [] } : { body }),
  };
}

/** Asserts that a chunk is refused to a session that has `sent`, that nothing of it is kept, and that the session goes on. */
async function expectKept(
  method: Method,
  row: Row,
  expected: Refusal | readonly Refusal[],
  sent: Uint8Array<ArrayBuffer>,
): Promise<void> {
  const { registry } = witness();
  const session = await Session.open(registry, sent);
  for (const isChunked of [false, true]) {
    const reply = await expectRefused(registry, chunk(method, session, row, isChunked), expected);
    // Clients go on from what a refusal tells them: regclient "recovers from any 4xx having both".
    if (reply.status === 416 || method === "PUT") {
      expect(reply.headers["location"]).toContain(`/v2/${REPOSITORY}/blobs/uploads/${session.id}`);
      expect(sizeOf(reply.headers["range"])).toBe(sent.length);
    }
    if (reply.status === 416) expect(reply.headers["docker-upload-uuid"]).toBe(session.id);
    await session.expectSize(sent.length);
  }
  await session.expectCompletes(BLOB.slice(sent.length));
}

for (const method of ["PATCH", "PUT"] as const) {
  describe(`${method} with a Content-Range that is not in order: 416 BLOB_UPLOAD_INVALID, nothing kept`, () => {
    for (const row of OUT_OF_ORDER) {
      test(row.title, () => expectKept(method, row, "416 BLOB_UPLOAD_INVALID", FIRST_HALF));
    }

    const first: readonly Row[] = [
      { title: "a first chunk that starts at 1", contentRange: "1-512" },
      { title: "a first chunk that is the second", contentRange: "512-1023" },
      { title: "a first chunk that is reversed", contentRange: "511-0" },
      { title: "a first chunk whose range is a word", contentRange: "nonsense" },
    ];
    for (const row of first) {
      test(row.title, () => expectKept(method, row, "416 BLOB_UPLOAD_INVALID", new Uint8Array()));
    }
    testUnchanged(witness);
  });

  describe(`${method} with a Content-Range in order, but of another length: 400 SIZE_INVALID, nothing kept`, () => {
    for (const row of OF_ANOTHER_LENGTH) {
      test(row.title, () => expectKept(method, row, "400 SIZE_INVALID", FIRST_HALF));
    }

    test("a first chunk", async () => {
      const row = { title: "", contentRange: "0-511", body: BLOB };
      await expectKept(method, row, "400 SIZE_INVALID", new Uint8Array());
    });

    test("an end beyond 64 bits, which is either of the two", async () => {
      const row = { title: "", contentRange: "512-99999999999999999999" };
      await expectKept(method, row, ["400 SIZE_INVALID", "416 BLOB_UPLOAD_INVALID"], FIRST_HALF);
    });
    testUnchanged(witness);
  });
}

describe("a chunk of many bytes that is refused", () => {
  test("is read to its end, and nothing of it is kept", async () => {
    const { registry } = witness();
    const large = new Uint8Array(3_000_000).fill(7);
    const session = await Session.open(registry, FIRST_HALF);
    for (const method of ["PATCH", "PUT"] as const) {
      const outOfOrder = { title: "", contentRange: "0-2999999", body: large };
      await expectRefused(registry, chunk(method, session, outOfOrder, false), "416 BLOB_UPLOAD_INVALID");
      const tooLong = { title: "", contentRange: "512-1023", body: large };
      await expectRefused(registry, chunk(method, session, tooLong, true), "400 SIZE_INVALID");
    }
    await session.expectSize(512);
    await session.expectCompletes(SECOND_HALF);
  });
  testUnchanged(witness);
});

describe("every chunk may be preceded by bad ones", () => {
  test("a skip ahead before each chunk, then a repeat of the first, and the upload still completes", async () => {
    const { registry } = witness();
    const session = await Session.open(registry);
    for (let start = 0; start < BLOB.length; start += 256) {
      const body = BLOB.slice(start, start + 256);
      const ahead = { title: "", contentRange: `${start + 256}-${start + 511}`, body };
      await expectRefused(registry, chunk("PATCH", session, ahead, false), "416 BLOB_UPLOAD_INVALID");
      const inOrder = { title: "", contentRange: `${start}-${start + 255}`, body };
      const reply = await request(registry.port, chunk("PATCH", session, inOrder, false));
      expect(reply.status).toBe(202);
      expect(reply.headers["range"]).toBe(`0-${start + 255}`);
    }
    const again = { title: "", contentRange: "0-255", body: BLOB.slice(0, 256) };
    for (const method of ["PATCH", "PUT"] as const) {
      await expectRefused(registry, chunk(method, session, again, false), "416 BLOB_UPLOAD_INVALID");
    }
    await session.expectCompletes(new Uint8Array());
  });
  testUnchanged(witness);
});

describe("a Content-Range in order is taken", () => {
  for (const contentRange of ["512-1023", "bytes 512-1023/1024", "00512-01023"]) {
    test(contentRange, async () => {
      const { registry } = witness();
      const session = await Session.open(registry, FIRST_HALF);
      const reply = await request(registry.port, chunk("PATCH", session, { title: "", contentRange }, false));
      expect(reply.status).toBe(202);
      expect(reply.headers["range"]).toBe("0-1023");
      await session.expectCompletes(new Uint8Array());
    });
  }

  test("on a PUT whose content has another digest, the session is gone: 400 DIGEST_INVALID", async () => {
    const { registry } = witness();
    const session = await Session.open(registry, FIRST_HALF);
    const target = session.with(`digest=${UNKNOWN_DIGEST}`);
    const put = { method: "PUT", target, headers: { "Content-Range": "512-1023" }, body: SECOND_HALF };
    await expectRefused(registry, put, "400 DIGEST_INVALID");
    await session.expectGone();
  });
  testUnchanged(witness);
});

testAliveAndQuiet(witness);
