/** Uploads: bytes in pieces and in any number of requests, verified at the end, and what stays when something breaks. */
import { expect, test } from "bun:test";
import { digestOf } from "../../oci/digest.ts";
import type { BlobUpload } from "../uploads.ts";
import {
  APP,
  LARGE,
  OTHER,
  brokenAfter,
  bytes,
  collect,
  contentOf,
  pull,
  refusalOf,
  streamOf,
} from "./contract-subject.ts";
import type { OpenContract } from "./contract-subject.ts";

/** Pieces whose sum crosses what lies in the database by default. */
const PIECES = [contentOf("a", 10_000), contentOf("b", 10_000), contentOf("c", 10_000)] as const;
const WHOLE = Uint8Array.from(Buffer.concat(PIECES));
const [A, B, C] = PIECES;

export function testUploads(open: OpenContract): void {
  test("an upload begins empty, has an id of its own and knows when it began", async () => {
    await using subject = await open();
    const { blobs } = subject.namespace.repository(APP);
    const [one, other] = [await blobs.upload(), await blobs.upload()];
    expect(one.id).not.toBe(other.id);
    expect(one.size).toBe(0);
    expect(one.startedAt).toEqual(new Date(subject.clock.ms));
    subject.clock.ms += 5;
    const again = await blobs.resume(one.id);
    expect([again?.id, again?.size, again?.startedAt]).toEqual([one.id, 0, one.startedAt]);
    expect(await subject.namespace.repository(OTHER).blobs.resume(one.id)).toBeUndefined();
    expect(await blobs.resume("no-such-id")).toBeUndefined();
  });

  test("bytes are written at the end, with or without a place, and read from a stream", async () => {
    await using subject = await open();
    const { blobs } = subject.namespace.repository(APP);
    const upload = await blobs.upload();
    expect(await upload.append(streamOf(A), { start: 0, length: A.length })).toBe(10_000);
    expect(upload.size).toBe(10_000);
    expect(await upload.append(streamOf(B.subarray(0, 1), B.subarray(1)))).toBe(20_000);
    expect(await upload.append(streamOf(C), { start: 20_000 })).toBe(30_000);
    expect(await blobs.exists(digestOf(WHOLE))).toBe(false);
    await upload.finish([digestOf(WHOLE)]);
    expect(await pull(subject.namespace.repository(APP), digestOf(WHOLE))).toEqual(WHOLE);
    expect(await blobs.resume(upload.id)).toBeUndefined();
    expect((await subject.kept()).length).toBeLessThanOrEqual(1);
  });

  test("the last bytes may come with the end, and so may all of them", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    for (const first of [0, 1, 2]) {
      const upload = await repository.blobs.upload();
      for (const piece of PIECES.slice(0, first)) await upload.append(streamOf(piece));
      const place = { start: first * 10_000, length: (3 - first) * 10_000 };
      await upload.finish([digestOf(WHOLE)], streamOf(...PIECES.slice(first)), first === 2 ? {} : place);
      expect(await pull(repository, digestOf(WHOLE))).toEqual(WHOLE);
      await repository.blobs.delete(digestOf(WHOLE));
    }
  });

  test("nothing at all can be uploaded", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    const digest = digestOf(new Uint8Array());
    const endings: ((upload: BlobUpload) => Promise<unknown>)[] = [
      (upload) => upload.finish([digest]),
      (upload) => upload.finish([digest], streamOf()),
      (upload) => upload.finish([digest], streamOf(new Uint8Array()), { start: 0, length: 0 }),
      async (upload) => {
        expect(await upload.append(streamOf())).toBe(0);
        await upload.finish([digest]);
      },
    ];
    for (const end of endings) {
      await end(await repository.blobs.upload());
      expect(await pull(repository, digest)).toEqual(new Uint8Array());
      await repository.blobs.delete(digest);
    }
  });

  test("a sender may use its buffer again", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    for (const size of [100, 10_000]) {
      const expected = Uint8Array.from([1, 2, 3].flatMap((value) => Array<number>(size).fill(value)));
      const upload = await repository.blobs.upload();
      await upload.append(oneBuffer(size));
      await upload.finish([digestOf(expected)]);
      expect(await pull(repository, digestOf(expected))).toEqual(expected);
      const whole = await repository.blobs.upload();
      const twice = Uint8Array.from([...expected, ...expected]);
      await whole.append(oneBuffer(size));
      await whole.finish([digestOf(twice)], oneBuffer(size));
      expect(await pull(repository, digestOf(twice))).toEqual(twice);
    }
  });

  testPlaces(open);
  testBreaks(open);
  testDigests(open);
  testEnds(open);
}

function testPlaces(open: OpenContract): void {
  for (const [what, act] of [
    ["appended", (upload: BlobUpload, start: number) => upload.append(unread(), { start, length: 10 })],
    ["at the end", (upload: BlobUpload, start: number) => upload.finish([digestOf(WHOLE)], unread(), { start })],
  ] as const) {
    // "MUST return 416 Requested Range Not Satisfiable": the upload and its size stay as they were.
    test(`a chunk out of order is refused with 416 before it is read (${what})`, async () => {
      await using subject = await open();
      const repository = subject.namespace.repository(APP);
      const upload = await repository.blobs.upload();
      expect(await refusalOf(act(upload, 1))).toBe("BLOB_UPLOAD_INVALID 416");
      for (const piece of PIECES) {
        await upload.append(streamOf(piece));
        for (const start of [upload.size + 1, upload.size - 1, 0]) {
          expect(await refusalOf(act(upload, start))).toBe("BLOB_UPLOAD_INVALID 416");
        }
      }
      expect((await repository.blobs.resume(upload.id))?.size).toBe(30_000);
      await upload.finish([digestOf(WHOLE)]);
      expect(await pull(repository, digestOf(WHOLE))).toEqual(WHOLE);
    });
  }

  for (const [what, length] of [
    ["shorter", 9_999],
    ["longer", 10_001],
  ] as const) {
    test(`of a chunk that is ${what} than announced nothing is kept`, async () => {
      await using subject = await open();
      const repository = subject.namespace.repository(APP);
      const upload = await repository.blobs.upload();
      for (const [at, piece] of PIECES.entries()) {
        const place = { start: at * 10_000, length };
        expect(await refusalOf(upload.append(streamOf(piece), place))).toBe("SIZE_INVALID 400");
        expect(await refusalOf(upload.finish([digestOf(WHOLE)], streamOf(piece), place))).toBe("SIZE_INVALID 400");
        expect((await repository.blobs.resume(upload.id))?.size).toBe(at * 10_000);
        await upload.append(streamOf(piece), { start: at * 10_000, length: 10_000 });
      }
      await upload.finish([digestOf(WHOLE)]);
      expect(await pull(repository, digestOf(WHOLE))).toEqual(WHOLE);
    });
  }
}

function testBreaks(open: OpenContract): void {
  test("of a stream without a place, what came before it broke is kept and counted", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    const upload = await repository.blobs.upload();
    for (const [at, piece] of PIECES.entries()) {
      await expect(upload.append(brokenAfter(piece.subarray(0, 4_000), piece.subarray(4_000)))).rejects.toThrow();
      expect((await repository.blobs.resume(upload.id))?.size).toBe((at + 1) * 10_000);
    }
    await upload.finish([digestOf(WHOLE)]);
    expect(await pull(repository, digestOf(WHOLE))).toEqual(WHOLE);
  });

  test("a stream that breaks at once changes nothing", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    const upload = await repository.blobs.upload();
    await expect(upload.append(brokenAfter())).rejects.toThrow();
    await upload.append(streamOf(A));
    await expect(upload.append(brokenAfter())).rejects.toThrow();
    expect((await repository.blobs.resume(upload.id))?.size).toBe(10_000);
    await upload.finish([digestOf(A)]);
    expect(await pull(repository, digestOf(A))).toEqual(A);
  });

  test("of a chunk with a place nothing is kept when it breaks", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    const upload = await repository.blobs.upload();
    for (const [at, piece] of PIECES.entries()) {
      const place = { start: at * 10_000, length: 10_000 };
      for (const broken of [
        brokenAfter(piece.subarray(1)),
        brokenAfter(piece),
        brokenAfter(contentOf("junk", LARGE)),
      ]) {
        await expect(upload.append(broken, place)).rejects.toThrow();
        expect((await repository.blobs.resume(upload.id))?.size).toBe(at * 10_000);
      }
      await upload.append(streamOf(piece), place);
    }
    await upload.finish([digestOf(WHOLE)]);
    expect(await pull(repository, digestOf(WHOLE))).toEqual(WHOLE);
  });

  test("of what comes with the end nothing is kept when it breaks, and the upload is as it was", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    const upload = await repository.blobs.upload();
    for (const [at, piece] of PIECES.entries()) {
      for (const place of [{}, { start: at * 10_000 }]) {
        await expect(upload.finish([digestOf(WHOLE)], brokenAfter(piece), place)).rejects.toThrow();
        await expect(upload.finish([digestOf(WHOLE)], brokenAfter(contentOf(0, LARGE)), place)).rejects.toThrow();
        expect((await repository.blobs.resume(upload.id))?.size).toBe(at * 10_000);
      }
      await upload.append(streamOf(piece));
    }
    await expect(upload.finish([digestOf(WHOLE)], brokenAfter())).rejects.toThrow();
    await upload.finish([digestOf(WHOLE)], streamOf());
    expect(await pull(repository, digestOf(WHOLE))).toEqual(WHOLE);
  });
}

function testDigests(open: OpenContract): void {
  for (const size of [300, LARGE]) {
    test(`content that is not what its digest says ends the upload (${size} bytes)`, async () => {
      await using subject = await open();
      const repository = subject.namespace.repository(APP);
      const content = contentOf("content", size);
      const expected = digestOf(contentOf("something else", size));
      const attempts: ((upload: BlobUpload) => Promise<unknown>)[] = [
        (upload) => upload.finish([expected], streamOf(content)),
        (upload) => upload.append(streamOf(content)).then(() => upload.finish([expected])),
        (upload) => upload.finish([digestOf(content), expected], streamOf(content)),
        (upload) => upload.finish([digestOf(content, "sha512"), expected], streamOf(content)),
      ];
      for (const attempt of attempts) {
        const upload = await repository.blobs.upload();
        expect(await refusalOf(attempt(upload))).toBe("DIGEST_INVALID 400");
        expect(await repository.blobs.resume(upload.id)).toBeUndefined();
        expect(await refusalOf(upload.append(streamOf(content)))).toBe("BLOB_UPLOAD_UNKNOWN 404");
        expect(await refusalOf(upload.finish([digestOf(content)]))).toBe("BLOB_UPLOAD_UNKNOWN 404");
      }
      expect(await repository.blobs.exists(expected)).toBe(false);
      expect(await repository.blobs.exists(digestOf(content))).toBe(false);
      expect(await subject.kept()).toEqual([]);
    });

    test(`a blob is kept under the digest and the algorithm that it was closed with (${size} bytes)`, async () => {
      await using subject = await open();
      const repository = subject.namespace.repository(APP);
      const content = contentOf("content", size);
      const digest = digestOf(content, "sha512");
      const attempts: (() => Promise<unknown>)[] = [
        async () => await (await repository.blobs.upload()).finish([digest], streamOf(content)),
        async () => await (await repository.blobs.upload()).finish([digest, digestOf(content)], streamOf(content)),
        async () => {
          const upload = await repository.blobs.upload({ algorithm: "sha512" });
          await upload.append(streamOf(content));
          await upload.finish([digest]);
        },
        async () => {
          const upload = await repository.blobs.upload();
          await upload.append(streamOf(content.subarray(0, size / 2)));
          await upload.append(streamOf(content.subarray(size / 2)));
          await upload.finish([digest]);
        },
      ];
      for (const attempt of attempts) {
        await attempt();
        expect(await pull(repository, digest)).toEqual(content);
        expect(await repository.blobs.exists(digestOf(content))).toBe(false);
        await repository.blobs.delete(digest);
      }
    });
  }

  test("an algorithm that was announced need not be the one", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    const upload = await repository.blobs.upload({ algorithm: "sha512" });
    await upload.append(streamOf(WHOLE));
    await upload.finish([digestOf(WHOLE)]);
    expect(await pull(repository, digestOf(WHOLE))).toEqual(WHOLE);
  });

  test("the same bytes under two algorithms are two blobs", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    const digests = [digestOf(WHOLE), digestOf(WHOLE, "sha512")] as const;
    for (const digest of digests) await (await repository.blobs.upload()).finish([digest], streamOf(WHOLE));
    await repository.blobs.delete(digests[0]);
    expect(await pull(repository, digests[1])).toEqual(WHOLE);
  });
}

function testEnds(open: OpenContract): void {
  test("an upload that was cancelled is gone, with all of its bytes", async () => {
    await using subject = await open();
    const { blobs } = subject.namespace.repository(APP);
    for (const size of [0, 300, LARGE]) {
      const upload = await blobs.upload();
      await upload.append(streamOf(contentOf("cancelled", size)));
      await upload.cancel();
      expect(await blobs.resume(upload.id)).toBeUndefined();
      expect(await refusalOf(upload.cancel())).toBe("BLOB_UPLOAD_UNKNOWN 404");
      expect(await refusalOf(upload.append(streamOf(bytes("more"))))).toBe("BLOB_UPLOAD_UNKNOWN 404");
      expect(await refusalOf(upload.finish([digestOf(bytes(""))]))).toBe("BLOB_UPLOAD_UNKNOWN 404");
    }
    expect(await subject.kept()).toEqual([]);
  });

  test("an upload ends once", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    const upload = await repository.blobs.upload();
    await upload.finish([digestOf(WHOLE)], streamOf(WHOLE));
    expect(await refusalOf(upload.finish([digestOf(WHOLE)], streamOf(WHOLE)))).toBe("BLOB_UPLOAD_UNKNOWN 404");
    expect(await refusalOf(upload.append(streamOf(A)))).toBe("BLOB_UPLOAD_UNKNOWN 404");
    expect(await refusalOf(upload.cancel())).toBe("BLOB_UPLOAD_UNKNOWN 404");
    expect(await pull(repository, digestOf(WHOLE))).toEqual(WHOLE);
  });

  test("an upload that no client resumes ends when its time is over, each request moves that", async () => {
    await using subject = await open({ uploadExpiryMs: 1000 });
    const { blobs } = subject.namespace.repository(APP);
    const upload = await blobs.upload();
    for (const piece of PIECES) {
      subject.clock.ms += 999;
      await subject.kept();
      await upload.append(streamOf(piece));
    }
    subject.clock.ms += 999;
    await subject.kept();
    expect((await blobs.resume(upload.id))?.size).toBe(30_000);
    subject.clock.ms += 1;
    expect(await subject.kept()).toEqual([]);
    expect(await blobs.resume(upload.id)).toBeUndefined();
    expect(await refusalOf(upload.append(streamOf(A)))).toBe("BLOB_UPLOAD_UNKNOWN 404");
  });

  test("what is read back is a copy of its own", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    const content = contentOf("small", 300);
    const upload = await repository.blobs.upload();
    await upload.finish([digestOf(content)], streamOf(content));
    const read = await collect((await repository.blobs.get(digestOf(content))).read());
    read.fill(0);
    expect(await pull(repository, digestOf(content))).toEqual(content);
  });
}

/** A stream that must not be read. */
async function* unread(): AsyncGenerator<Uint8Array> {
  yield* [];
  throw new Error("the stream was read");
}

/** Three pieces of `size` bytes in one and the same buffer. */
async function* oneBuffer(size: number): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(size);
  for (const value of [1, 2, 3]) yield buffer.fill(value);
}
