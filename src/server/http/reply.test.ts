/** What is answered, as a value, and how it becomes a web `Response`. */
import { describe, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { bytesBody, empty, json, streamFile, text, toResponse } from "./reply.ts";
import type { Body, OpenFile, Reply } from "./reply.ts";

const unopened: OpenFile = () => {
  throw new Error("a file was opened");
};

/** A stream of pieces that tells how far it was pulled and whether it was closed. */
class Source {
  opened = 0;
  pulled = 0;
  closed = 0;
  readonly #pieces: Iterable<string>;

  constructor(pieces: Iterable<string>) {
    this.#pieces = pieces;
  }

  get reply(): Reply {
    return { status: 200, headers: {}, body: { kind: "stream", open: () => this.#open() } };
  }

  async *#open(): AsyncGenerator<Uint8Array> {
    this.opened++;
    try {
      for (const piece of this.#pieces) {
        this.pulled++;
        yield Buffer.from(piece);
      }
    } finally {
      this.closed++;
    }
  }
}

function* endless(): Generator<string> {
  for (;;) yield "x".repeat(1000);
}

function* breaking(): Generator<string> {
  yield "half";
  throw new Error("the disk broke");
}

describe("a reply without a body", () => {
  test("says that it has no bytes", () => {
    expect(empty(202)).toEqual({ status: 202, headers: { "content-length": "0" } });
    expect(empty(201, { location: "/x" })).toEqual({ status: 201, headers: { location: "/x", "content-length": "0" } });
  });

  test("says nothing of a length when it has 204 or 304 (RFC 9110, 8.6)", () => {
    for (const status of [204, 304])
      expect(empty(status, { etag: '"x"' })).toEqual({ status, headers: { etag: '"x"' } });
  });
});

describe("a reply of JSON", () => {
  test("has the type that clients compare letter by letter, and its length in bytes", () => {
    expect(json(200, { name: "ä" })).toEqual({
      status: 200,
      headers: { "content-type": "application/json", "content-length": "13" },
      body: '{"name":"ä"}',
    });
  });

  test("may have more headers, and another type", () => {
    expect(json(200, {}, { link: "<x>", "content-type": "application/vnd.example+json" }).headers).toEqual({
      link: "<x>",
      "content-type": "application/vnd.example+json",
      "content-length": "2",
    });
  });

  test("has the length that its body has, whatever it says", async () => {
    await fc.assert(
      fc.asyncProperty(fc.jsonValue(), async (value) => {
        const response = toResponse(json(200, value), "GET", unopened);
        const bytes = await response.bytes();
        expect(response.headers.get("content-length")).toBe(String(bytes.length));
        expect(JSON.parse(new TextDecoder().decode(bytes))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });
});

describe("a reply of text", () => {
  test("has the type that it is given, and its length in bytes", () => {
    expect(text(200, "5 €", { "content-type": "text/plain" })).toEqual({
      status: 200,
      headers: { "content-type": "text/plain", "content-length": "5" },
      body: "5 €",
    });
  });
});

describe("a response", () => {
  test("has the status and headers of the reply", async () => {
    const response = toResponse(
      { status: 404, headers: { "content-length": "2", etag: "x" }, body: "no" },
      "GET",
      unopened,
    );
    expect([response.status, response.headers.get("content-length"), response.headers.get("etag")]).toEqual([
      404,
      "2",
      "x",
    ]);
    expect(await response.text()).toBe("no");
  });

  test("has no body when the reply has none", async () => {
    for (const status of [200, 202, 204, 304]) {
      const response = toResponse(empty(status), "GET", unopened);
      expect([response.status, response.body]).toEqual([status, null]);
    }
  });

  test("has a body of bytes as they are", async () => {
    const bytes = Uint8Array.from({ length: 256 }, (_, at) => at);
    const response = toResponse({ status: 200, headers: {}, body: bytesBody(bytes) }, "GET", unopened);
    expect(await response.bytes()).toEqual(bytes);
  });

  test("has a part of bytes and not what lies around it", async () => {
    const body = bytesBody(Buffer.from("0123456789").subarray(3, 6));
    expect(await toResponse({ status: 206, headers: {}, body }, "GET", unopened).text()).toBe("345");
  });

  test("has a file's bytes as its runtime opens them", async () => {
    const opened: unknown[] = [];
    const body: Body = { kind: "file", path: "/blobs/x", range: { start: 5, end: 9 } };
    const open: OpenFile = (location) => {
      opened.push(location);
      return new Blob(["bytes"]);
    };
    const response = toResponse({ status: 206, headers: {}, body }, "GET", open);
    expect(await response.text()).toBe("bytes");
    expect(opened).toEqual([body]);
  });

  test("has exactly a file's range where the runtime has no better way, both ends counted in", async () => {
    const folder = await mkdtemp(join(tmpdir(), "stowage-reply-"));
    try {
      const path = join(folder, "blob");
      await writeFile(path, "0123456789");
      const ranges: readonly (readonly [start: number, end: number, expected: string])[] = [
        [0, 9, "0123456789"],
        [0, 0, "0"],
        [3, 5, "345"],
        [9, 9, "9"],
      ];
      for (const [start, end, expected] of ranges) {
        const body: Body = { kind: "file", path, range: { start, end } };
        expect(await toResponse({ status: 206, headers: {}, body }, "GET", streamFile).text()).toBe(expected);
      }
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test("has all pieces of a stream, in their order, and closes it once", async () => {
    const source = new Source(["a", "bc", "", "d"]);
    expect(await toResponse(source.reply, "GET", unopened).text()).toBe("abcd");
    expect(source).toMatchObject({ opened: 1, pulled: 4, closed: 1 });
  });
});

describe("a response to HEAD", () => {
  const bodies: readonly (readonly [title: string, body: Body])[] = [
    ["a text", "text"],
    ["bytes", bytesBody(Buffer.from("bytes"))],
    ["a file", { kind: "file", path: "/x", range: { start: 0, end: 4 } }],
    [
      "a stream",
      {
        kind: "stream",
        open: () => {
          throw new Error("a stream was opened");
        },
      },
    ],
  ];
  for (const [title, body] of bodies) {
    test(`has the length of ${title}, and opens nothing`, () => {
      const response = toResponse({ status: 200, headers: { "content-length": "5" }, body }, "HEAD", unopened);
      expect([response.status, response.headers.get("content-length"), response.body]).toEqual([200, "5", null]);
    });
  }

  test("out of the cache has a date, and leaves none to responses to GET", () => {
    const shared = { headers: { web: new Headers({ "content-length": "4" }) }, answered: {} };
    const reply = { status: 200, headers: { "content-length": "4" }, body: "text", shared };
    expect(toResponse(reply, "HEAD", unopened).headers.has("date")).toBeTrue();
    expect(toResponse(reply, "GET", unopened).headers.has("date")).toBeFalse(); // the runtime adds the current one
  });
});

describe("the stream of a response", () => {
  test("is pulled as the reader takes it: an endless one is never far ahead", async () => {
    const source = new Source(endless());
    const reader = toResponse(source.reply, "GET", unopened).body?.getReader();
    for (let taken = 1; taken <= 20; taken++) {
      await reader?.read();
      expect(source.pulled).toBeWithin(taken, taken + 3);
    }
    await reader?.cancel();
  });

  test("closes its source when the client goes away in the middle", async () => {
    const source = new Source(endless());
    const reader = toResponse(source.reply, "GET", unopened).body?.getReader();
    await reader?.read();
    expect(source).toMatchObject({ opened: 1, closed: 0 });
    await reader?.cancel("the client went away");
    expect(source).toMatchObject({ opened: 1, closed: 1 });
    expect(source.pulled).toBeLessThan(5);
  });

  test("holds no source open when the client goes away before the first byte", async () => {
    const source = new Source(endless());
    await toResponse(source.reply, "GET", unopened).body?.cancel();
    expect(source.closed).toBe(source.opened);
  });

  test("breaks when its source breaks, so that half a body is not taken for a whole one", async () => {
    const source = new Source(breaking());
    await expect(toResponse(source.reply, "GET", unopened).text()).rejects.toThrow("the disk broke");
    expect(source).toMatchObject({ opened: 1, closed: 1 });
  });
});
