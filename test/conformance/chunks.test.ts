/** Chunks and their places (distribution-spec, "Pushing a blob in chunks", end-5, end-6). */
import { describe, expect, test } from "bun:test";
import { bytesOf, digestOf } from "../support/content.ts";
import { expectRefused } from "../support/expect-refused.ts";
import { request } from "../support/raw-request.ts";
import { RepositoryClient, streamOf } from "../support/repository-client.ts";
import { useRegistry } from "../support/use-registry.ts";
import {
  closeSession,
  expectBlobCreated,
  expectSession,
  expectSessionSize,
  openSession,
  rangeOf,
  sendChunk,
  sessionWith,
  withQuery,
} from "./sessions.ts";

const registry = useRegistry();
const repository = (name: string): RepositoryClient => new RepositoryClient(registry().url, name);

/** Two sizes: what a store may keep inline, and what it keeps in a file. The first is the official suite's. */
const CHUNK_SIZES = [1024, 30_000] as const;

for (const algorithm of ["sha256", "sha512"] as const) {
  for (const chunkSize of CHUNK_SIZES) {
    const bytes = bytesOf(`chunks/${chunkSize}`, 3 * chunkSize - 5);
    const digest = digestOf(bytes, algorithm);
    const starts = [0, chunkSize, 2 * chunkSize] as const;
    const chunkAt = (start: number): Uint8Array<ArrayBuffer> => bytes.slice(start, start + chunkSize);
    const name = (rest: string): string => `chunks/${algorithm}/${chunkSize}/${rest}`;

    describe(`${algorithm}, chunks of ${chunkSize} bytes`, () => {
      test("each reply says how much of the whole blob is there", async () => {
        const chunks = repository(name("in-order"));
        let location = await openSession(chunks);
        for (const start of starts) {
          const chunk = chunkAt(start);
          const reply = await chunks.send("PATCH", location, {
            body: chunk,
            headers: { "content-type": "application/octet-stream", "content-range": rangeOf(start, chunk) },
          });
          // "Range: 0-<end-of-range>": of the blob, not of the chunk.
          location = expectSession(reply, chunks, 202, start + chunk.length);
          await expectSessionSize(chunks, location, start + chunk.length);
        }
        await expectBlobCreated(await closeSession(chunks, location, digest), chunks, digest, bytes);
      });

      test("a chunk out of order is refused with 416, and the upload goes on", async () => {
        const chunks = repository(name("out-of-order"));
        let location = await openSession(chunks);
        for (const [at, start] of starts.entries()) {
          // Before each good chunk one that skips ahead; before the last one the first again.
          const bad = starts[at + 1] ?? 0;
          const body = chunkAt(bad);
          const reply = await chunks.send("PATCH", location, {
            body,
            headers: { "content-range": rangeOf(bad, body) },
          });
          await expectOutOfOrder(chunks, reply, location, start);
          location = await sendChunk(chunks, location, chunkAt(start), start);
        }
        await expectBlobCreated(await closeSession(chunks, location, digest), chunks, digest, bytes);
      });

      test("a last chunk out of order in the PUT is refused with 416, and the upload goes on", async () => {
        const chunks = repository(name("out-of-order-put"));
        let location = await openSession(chunks);
        for (const [at, start] of starts.entries()) {
          const bad = starts[at + 1] ?? 0;
          const body = chunkAt(bad);
          const reply = await closeSession(chunks, location, digest, body, { "content-range": rangeOf(bad, body) });
          await expectOutOfOrder(chunks, reply, location, start);
          // The address of the PUT is one of the session's too.
          await expectSessionSize(chunks, withQuery(location, `digest=${digest}`), start);
          if (start !== starts[2]) location = await sendChunk(chunks, location, chunkAt(start), start);
        }
        const last = chunkAt(starts[2]);
        const closed = await closeSession(chunks, location, digest, last, {
          "content-range": rangeOf(starts[2], last),
        });
        await expectBlobCreated(closed, chunks, digest, bytes);
      });

      test("a chunk sent again, to the Location of the POST, is refused with 416", async () => {
        const chunks = repository(name("again"));
        const first = await openSession(chunks);
        const second = await sendChunk(chunks, first, chunkAt(0), 0);
        for (const location of [first, second]) {
          const headers = { "content-range": rangeOf(0, chunkAt(0)) };
          const reply = await chunks.send("PATCH", location, { body: chunkAt(0), headers });
          await expectOutOfOrder(chunks, reply, location, chunkSize);
        }
        const closed = await closeSession(chunks, second, digest, bytes.slice(chunkSize));
        await expectBlobCreated(closed, chunks, digest, bytes);
      });

      test("a client that lost track asks and goes on", async () => {
        const chunks = repository(name("resumed"));
        const location = await sendChunk(chunks, await openSession(chunks), chunkAt(0), 0);
        const status = await chunks.get(location);
        const next = expectSession(status, chunks, 204, chunkSize);
        const start = Number(status.headers.get("range")?.slice("0-".length)) + 1;
        const patched = await sendChunk(chunks, next, bytes.slice(start), start);
        await expectBlobCreated(await closeSession(chunks, patched, digest), chunks, digest, bytes);
      });

      test("chunks with a place, chunks without one and streams may follow each other", async () => {
        const chunks = repository(name("mixed"));
        let location = await sendChunk(chunks, await openSession(chunks), chunkAt(0));
        location = await sendChunk(chunks, location, bytes.slice(chunkSize, chunkSize + 10), chunkSize);
        const body = streamOf(bytes.slice(chunkSize + 10, chunkSize + 20), bytes.slice(chunkSize + 20, 2 * chunkSize));
        location = expectSession(await chunks.send("PATCH", location, { body }), chunks, 202, 2 * chunkSize);
        const closed = await closeSession(chunks, location, digest, bytes.slice(2 * chunkSize));
        await expectBlobCreated(closed, chunks, digest, bytes);
      });

      test("a chunk with a place may come without a length", async () => {
        const chunks = repository(name("chunked-encoding"));
        const half = bytes.length >> 1;
        const location = await openSession(chunks);
        const patched = await chunks.send("PATCH", location, {
          body: streamOf(bytes.slice(0, 100), bytes.slice(100, half)),
          headers: { "content-range": `0-${half - 1}` },
        });
        expectSession(patched, chunks, 202, half);
        const closed = await chunks.send("PUT", withQuery(location, `digest=${digest}`), {
          body: streamOf(bytes.slice(half)),
          headers: { "content-range": `${half}-${bytes.length - 1}` },
        });
        await expectBlobCreated(closed, chunks, digest, bytes);
      });
    });
  }
}

const BLOB = bytesOf("chunks", 1024);
const DIGEST = digestOf(BLOB);
const METHODS = ["PATCH", "PUT"] as const;

const send = (
  chunks: RepositoryClient,
  method: (typeof METHODS)[number],
  location: string,
  range: string,
  body: Uint8Array<ArrayBuffer>,
): Promise<Response> =>
  chunks.send(method, method === "PUT" ? withQuery(location, `digest=${DIGEST}`) : location, {
    body,
    headers: { "content-range": range },
  });

describe("a chunk's place must be the next one: a session of 512 bytes refuses with 416", () => {
  const rows: readonly (readonly [range: string, why: string])[] = [
    ["0-511", "the same chunk again"],
    ["0-1023", "all of it again"],
    ["511-1022", "an overlap of a byte"],
    ["513-1024", "a gap of a byte"],
    ["1024-1535", "a gap of a chunk"],
    ["9999999999-10000000510", "far beyond"],
    ["1023-512", "reversed"],
    ["512-511", "reversed by one"],
    ["-511", "no start"],
    ["512-", "no end"],
    ["512", "no dash"],
    ["a-b", "no numbers"],
    ["512-1023x", "something behind"],
    ["512-1023,1024-1535", "two of them"],
    ["+512-1023", "a sign"],
    ["512.0-1023", "a fraction"],
    ["0x200-0x3ff", "another base"],
    ["bytes=512-1023", "the form of Range"],
    ["items 512-1023/1024", "another unit"],
    ["99999999999999999999-99999999999999999999", "numbers beyond counting"],
    // A wrong start wins over a wrong length.
    ["0-9", "the wrong place and the wrong length"],
  ];
  for (const method of METHODS) {
    for (const [range, why] of rows) {
      test(`${method} ${range}: ${why}`, async () => {
        const chunks = repository(`chunks/places/${method.toLowerCase()}`);
        const location = await sessionWith(chunks, BLOB.slice(0, 512));
        await expectOutOfOrder(chunks, await send(chunks, method, location, range, BLOB.slice(512)), location, 512);
        const closed = await send(chunks, "PUT", location, "512-1023", BLOB.slice(512));
        await expectBlobCreated(closed, chunks, DIGEST, BLOB);
      });
    }

    test(`${method}: the first chunk's range begins with 0`, async () => {
      const chunks = repository(`chunks/first/${method.toLowerCase()}`);
      const location = await openSession(chunks);
      for (const range of ["1-512", "512-1023"]) {
        const reply = await send(chunks, method, location, range, BLOB.slice(0, 512));
        await expectOutOfOrder(chunks, reply, location, 0);
      }
      await expectBlobCreated(await send(chunks, "PUT", location, "0-1023", BLOB), chunks, DIGEST, BLOB);
    });
  }
});

describe("a chunk must be as long as it says: otherwise 400, and nothing of it is kept", () => {
  const rows: readonly (readonly [title: string, range: string, body: Uint8Array<ArrayBuffer>])[] = [
    ["shorter by a byte", "512-1023", BLOB.slice(512, 1023)],
    ["longer by a byte", "512-1022", BLOB.slice(512)],
    ["empty", "512-1023", new Uint8Array()],
    ["much longer", "512-512", BLOB],
  ];
  for (const method of METHODS) {
    for (const [title, range, body] of rows) {
      test(`${method}, ${title}`, async () => {
        const chunks = repository(`chunks/lengths/${method.toLowerCase()}`);
        const location = await sessionWith(chunks, BLOB.slice(0, 512));
        const reply = await send(chunks, method, location, range, body);
        expectSession(reply, chunks, 400, 512);
        await expectRefused(reply, 400, "SIZE_INVALID");
        await expectSessionSize(chunks, location, 512);
        const closed = await send(chunks, "PUT", location, "512-1023", BLOB.slice(512));
        await expectBlobCreated(closed, chunks, DIGEST, BLOB);
      });
    }

    test(`${method}, without a length that could be compared beforehand`, async () => {
      const chunks = repository(`chunks/lengths-streamed/${method.toLowerCase()}`);
      const location = await sessionWith(chunks, BLOB.slice(0, 512));
      for (const range of ["512-1022", "512-1024"]) {
        const target = method === "PUT" ? withQuery(location, `digest=${DIGEST}`) : location;
        const body = [BLOB.slice(512, 700), BLOB.slice(700)];
        const reply = await request(registry().port, {
          method,
          target,
          headers: { "Content-Range": range },
          chunks: body,
        });
        expect(reply.status).toBe(400);
        expect(JSON.parse(reply.body)).toMatchObject({ errors: [{ code: "SIZE_INVALID" }] });
        await expectSessionSize(chunks, location, 512);
      }
      const closed = await send(chunks, "PUT", location, "512-1023", BLOB.slice(512));
      await expectBlobCreated(closed, chunks, DIGEST, BLOB);
    });
  }
});

describe("the form of RFC 9110 is understood too", () => {
  for (const form of ["bytes 512-1023/1024", "bytes 512-1023/*"]) {
    for (const method of METHODS) {
      test(`${method} ${form}`, async () => {
        const chunks = repository(`chunks/rfc/${method.toLowerCase()}`);
        const location = await sessionWith(chunks, BLOB.slice(0, 512));
        const reply = await send(chunks, method, location, form, BLOB.slice(512));
        if (method === "PATCH") expectSession(reply, chunks, 202, 1024);
        const closed = method === "PUT" ? reply : await closeSession(chunks, location, DIGEST);
        await expectBlobCreated(closed, chunks, DIGEST, BLOB);
      });
    }
  }
});

describe("a chunk may be empty", () => {
  test("nothing was there, and nothing is", async () => {
    const chunks = repository("chunks/empty");
    const location = await openSession(chunks);
    expectSession(await chunks.send("PATCH", location), chunks, 202, 0);
    expectSession(await chunks.send("PATCH", location, { body: streamOf() }), chunks, 202, 0);
    const digest = digestOf("");
    await expectBlobCreated(await closeSession(chunks, location, digest), chunks, digest, "");
  });

  test("between others it changes nothing", async () => {
    const chunks = repository("chunks/empty-between");
    const location = await sessionWith(chunks, BLOB.slice(0, 512));
    expectSession(await chunks.send("PATCH", location), chunks, 202, 512);
    await expectBlobCreated(await closeSession(chunks, location, DIGEST, BLOB.slice(512)), chunks, DIGEST, BLOB);
  });
});

test("a blob of many small chunks", async () => {
  const chunks = repository("chunks/many");
  const bytes = bytesOf("many chunks", 20_000);
  const digest = digestOf(bytes);
  let location = await openSession(chunks);
  for (let start = 0; start < bytes.length; start += 100) {
    location = await sendChunk(chunks, location, bytes.slice(start, start + 100), start);
  }
  await expectBlobCreated(await closeSession(chunks, location, digest), chunks, digest, bytes);
});

/**
 * "If a chunk is uploaded out of order, the registry MUST respond with a 416 Requested Range Not Satisfiable code." Nothing
 * of it is kept, the session goes on, and the refusal says from where.
 */
async function expectOutOfOrder(
  repositoryOf: RepositoryClient,
  reply: Response,
  location: string,
  size: number,
): Promise<void> {
  expectSession(reply, repositoryOf, 416, size);
  await expectRefused(reply, 416, "BLOB_UPLOAD_INVALID");
  // "A GET request may be used to retrieve the current valid offset and upload location."
  await expectSessionSize(repositoryOf, location, size);
}
