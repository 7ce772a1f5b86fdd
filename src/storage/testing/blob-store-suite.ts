/** What every BlobStore must do, whatever it stores on. */
import { describe, expect, test } from "bun:test";
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import * as fc from "fast-check";
import { partOf, readLocation } from "../../lib/byte-location.ts";
import { digestOf } from "../../oci/digest.ts";
import type { BlobStore, PartKey, StorageKey } from "../blob-store.ts";

/** More than any buffer of a store, and no multiple of one. */
const LARGE = 1_300_007;

/** `open` gives a fresh store each time; whoever calls the suite removes what they leave behind. */
export function blobStoreSuite(name: string, open: () => Promise<BlobStore>): void {
  describe(`${name}: part files`, () => {
    testParts(open);
  });
  describe(`${name}: copies of part files`, () => {
    testCopies(open);
  });
  describe(`${name}: committing`, () => {
    testCommitting(open);
  });
  describe(`${name}: reading`, () => {
    testReading(open);
  });
  describe(`${name}: listing`, () => {
    testListing(open);
  });
  describe(`${name}: deleting`, () => {
    testDeleting(open);
  });
}

function testParts(open: () => Promise<BlobStore>): void {
  test("bytes come back however they were cut", async () => {
    const store = await open();
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 4096 }), fc.integer({ min: 1, max: 999 }), async (content, size) => {
        const part = freshPart(store);
        await write(store, part, inPieces(content, size));
        const key = store.storageKey(part, digestOf(content));
        expect((await store.commit(part, key)).size).toBe(content.length);
        expect(await collect(store.read(key))).toEqual(content);
      }),
      { numRuns: 40 },
    );
  });

  test("appending, cutting off and going on later give what the same steps give in memory", async () => {
    const store = await open();
    const share = fc.integer({ min: 0, max: 100 }).map((percent) => percent / 100);
    const step = fc.oneof(
      fc.record({ do: fc.constant("append" as const), bytes: fc.uint8Array({ maxLength: 2000 }) }),
      fc.record({ do: fc.constant("truncate" as const), share }),
      fc.record({ do: fc.constant("reopen" as const), share }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
        const key = freshPart(store);
        let model: Uint8Array = new Uint8Array();
        let part = await store.stage(key);
        for (const each of steps) {
          if (each.do === "append") {
            await part.append(each.bytes);
            model = Buffer.concat([model, each.bytes]);
            continue;
          }
          model = model.slice(0, Math.floor(model.length * each.share));
          if (each.do === "truncate") {
            await part.truncate(model.length);
          } else {
            await part.sync();
            await part[Symbol.asyncDispose]();
            part = await present(store.resume(key, model.length));
          }
        }
        await part.sync();
        await part[Symbol.asyncDispose]();
        expect(await collect(store.readPart(key, model.length))).toEqual(Uint8Array.from(model));
        const blob = store.storageKey(key, digestOf(model));
        expect((await store.commit(key, blob)).size).toBe(model.length);
      }),
      { numRuns: 40 },
    );
  });

  test("bytes beyond every buffer are kept in order", async () => {
    const store = await open();
    const content = noise(LARGE);
    const key = freshPart(store);
    await write(store, key, [
      content.subarray(0, 3),
      ...inPieces(content.subarray(3, 900_000), 65_536),
      content.subarray(900_000),
    ]);
    expect(digestOf(await collect(store.readPart(key, LARGE)))).toBe(digestOf(content));
  });

  test("a buffer may be used again once it was appended", async () => {
    const store = await open();
    const key = freshPart(store);
    const buffer = new Uint8Array(8);
    await using part = await store.stage(key);
    for (const value of [1, 2, 3]) await part.append(buffer.fill(value));
    await part.sync();
    expect(await collect(store.readPart(key, 24))).toEqual(
      Uint8Array.from([...Array(8).fill(1), ...Array(8).fill(2), ...Array(8).fill(3)]),
    );
  });

  test("closing a part file keeps what was synced", async () => {
    const store = await open();
    const key = freshPart(store);
    await write(store, key, [bytes("kept")]);
    await using part = await present(store.resume(key, 4));
    await part.append(bytes(" and more"));
    await part.sync();
    expect(await textOf(store.readPart(key, 13))).toBe("kept and more");
  });

  test("reading a part file gives its first bytes and no more", async () => {
    const store = await open();
    const key = freshPart(store);
    await write(store, key, [bytes("counted, not counted")]);
    expect(await textOf(store.readPart(key, 7))).toBe("counted");
    expect(await textOf(store.readPart(key, 0))).toBe("");
  });

  test("going on cuts off what lies behind the bytes that count", async () => {
    const store = await open();
    const key = freshPart(store);
    await write(store, key, [bytes("counted, never recorded")]);
    await using part = await present(store.resume(key, 7));
    await part.append(bytes("!"));
    await part.sync();
    const blob = store.storageKey(key, digestOf(bytes("counted!")));
    expect((await store.commit(key, blob)).size).toBe(8);
    expect(await textOf(store.read(blob))).toBe("counted!");
  });

  test("going on with a part file that is not there, or is shorter, gives undefined", async () => {
    const store = await open();
    const key = freshPart(store);
    expect(await store.resume(key, 0)).toBeUndefined();
    await write(store, key, [bytes("four")]);
    expect(await store.resume(key, 5)).toBeUndefined();
    expect(await textOf(store.readPart(key, 4))).toBe("four");
  });

  test("a part file that is begun again is empty", async () => {
    const store = await open();
    const key = freshPart(store);
    await write(store, key, [bytes("what a writer that died left behind")]);
    await write(store, key, [bytes("new")]);
    expect(await store.resume(key, 4)).toBeUndefined();
    expect(await textOf(store.readPart(key, 3))).toBe("new");
  });
}

function testCopies(open: () => Promise<BlobStore>): void {
  test("a copy has the first bytes, and each goes its own way", async () => {
    const store = await open();
    const [from, to] = [freshPart(store), freshPart(store)];
    await write(store, from, [bytes("accepted, lost")]);
    await using stalled = await present(store.resume(from, 14));
    expect(await store.copyPart(from, to, 8)).toBe(true);
    expect(await store.resume(to, 9)).toBeUndefined();
    await stalled.append(bytes(" and written late"));
    await stalled.sync();
    await using copy = await present(store.resume(to, 8));
    await copy.append(bytes("."));
    await copy.sync();
    expect(await textOf(store.readPart(to, 9))).toBe("accepted.");
    expect(await textOf(store.readPart(from, 31))).toBe("accepted, lost and written late");
    expect(await store.resume(to, 10)).toBeUndefined();
  });

  test("nothing is copied when the bytes are not there", async () => {
    const store = await open();
    const [from, to] = [freshPart(store), freshPart(store)];
    expect(await store.copyPart(from, to, 0)).toBe(false);
    await write(store, from, [bytes("four")]);
    expect(await store.copyPart(from, to, 5)).toBe(false);
    expect(await store.resume(to, 0)).toBeUndefined();
  });
}

function testCommitting(open: () => Promise<BlobStore>): void {
  test("nobody sees a blob before it is committed, and nobody a part of it", async () => {
    const store = await open();
    const content = noise(LARGE);
    const part = freshPart(store);
    const key = store.storageKey(part, digestOf(content));
    await write(store, part, inPieces(content, 100_000));
    expect(await store.stat(key)).toBeUndefined();
    await expect(collect(store.read(key))).rejects.toThrow();
    const committing = { done: false };
    const blob = store.commit(part, key).finally(() => (committing.done = true));
    while (!committing.done) expect([undefined, LARGE]).toContain((await store.stat(key))?.size);
    expect(await blob).toEqual(await present(store.stat(key)));
    expect(digestOf(await collect(store.read(key)))).toBe(digestOf(content));
  });

  test("a committed part file is a part file no more", async () => {
    const store = await open();
    const { part } = await committed(store, bytes("done"));
    expect(await store.resume(part, 0)).toBeUndefined();
  });

  test("an empty blob is a blob", async () => {
    const store = await open();
    const { key } = await committed(store, new Uint8Array());
    expect((await store.stat(key))?.size).toBe(0);
    expect(await textOf(store.read(key))).toBe("");
  });

  test("a part file that is not there cannot be committed", async () => {
    const store = await open();
    const part = freshPart(store);
    const key = store.storageKey(part, digestOf(new Uint8Array()));
    await expect(store.commit(part, key)).rejects.toThrow();
    expect(await store.stat(key)).toBeUndefined();
  });

  test("a commit can be taken back: the part file is there again, and may be committed once more", async () => {
    const store = await open();
    const { part, key } = await committed(store, bytes("taken back"));
    expect(await store.reopen(key, part)).toBe(true);
    expect(await store.stat(key)).toBeUndefined();
    expect(await textOf(store.readPart(part, 10))).toBe("taken back");
    expect(await store.reopen(key, part)).toBe(false);
    expect(await textOf(store.readPart(part, 10))).toBe("taken back");
    await store.commit(part, key);
    expect(await textOf(store.read(key))).toBe("taken back");
  });

  test("the same bytes pushed again get a key of their own", async () => {
    const store = await open();
    const [first, second] = [await committed(store, bytes("same")), await committed(store, bytes("same"))];
    expect(second.key).not.toBe(first.key);
    await store.delete([first.key]);
    expect(await store.stat(first.key)).toBeUndefined();
    expect(await textOf(store.read(second.key))).toBe("same");
  });

  test("the same bytes under two algorithms are two blobs", async () => {
    const store = await open();
    const [one, other] = [freshPart(store), freshPart(store)];
    const content = bytes("twice");
    for (const part of [one, other]) await write(store, part, [content]);
    const [short, long] = [
      store.storageKey(one, digestOf(content)),
      store.storageKey(other, digestOf(content, "sha512")),
    ];
    await store.commit(one, short);
    await store.commit(other, long);
    expect(await textOf(store.read(short))).toBe("twice");
    expect(await textOf(store.read(long))).toBe("twice");
  });

  test("many may be committed at once, also side by side", async () => {
    const store = await open();
    // One digest in all keys: stores that sort by digest put them all in one place.
    const digest = digestOf(bytes("the place"));
    const parts = Array.from({ length: 32 }, (_, at) => ({ part: freshPart(store), text: `blob ${at}` }));
    const keys = await Promise.all(
      parts.map(async ({ part, text }) => {
        await write(store, part, [bytes(text)]);
        const key = store.storageKey(part, digest);
        await store.commit(part, key);
        return key;
      }),
    );
    expect(new Set(keys).size).toBe(keys.length);
    for (const [at, key] of keys.entries()) expect(await textOf(store.read(key))).toBe(`blob ${at}`);
  });
}

function testReading(open: () => Promise<BlobStore>): void {
  test("a range counts both of its ends", async () => {
    const store = await open();
    const { key } = await committed(store, bytes("0123456789"));
    for (const [start, end, expected] of [
      [0, 0, "0"],
      [0, 9, "0123456789"],
      [3, 5, "345"],
      [9, 9, "9"],
      [5, 9, "56789"],
    ] as const) {
      expect(await textOf(store.read(key, { start, end }))).toBe(expected);
    }
  });

  test("any range gives the bytes between its ends", async () => {
    const store = await open();
    const content = noise(LARGE);
    const { key } = await committed(store, content);
    const position = fc.integer({ min: 0, max: LARGE - 1 });
    await fc.assert(
      fc.asyncProperty(position, position, async (a, b) => {
        const range = { start: Math.min(a, b), end: Math.max(a, b) };
        const expected = content.subarray(range.start, range.end + 1);
        expect(digestOf(await collect(store.read(key, range)))).toBe(digestOf(expected));
      }),
      { numRuns: 25 },
    );
  });

  test("what is known of a blob does not change by itself", async () => {
    const store = await open();
    const { key, stat } = await committed(store, bytes("still"));
    await committed(store, bytes("another"));
    expect(stat.size).toBe(5);
    expect(await store.stat(key)).toEqual(stat);
    expect(await store.stat(key)).toEqual(stat);
  });

  test("the location of a blob leads to the same bytes, and so does that of any part of it", async () => {
    const store = await open();
    const { key } = await committed(store, bytes("0123456789"));
    const location = store.locate(key, 10);
    expect(await textOf(readLocation(location))).toBe("0123456789");
    expect(await textOf(readLocation(partOf(location, { start: 2, end: 4 })))).toBe("234");
    if (location.kind === "file") expect(await readFile(location.path, "utf8")).toBe("0123456789");
  });

  test("a blob that is not there has no bytes", async () => {
    const store = await open();
    const key = store.storageKey(freshPart(store), digestOf(bytes("nothing")));
    expect(await store.stat(key)).toBeUndefined();
    await expect(collect(store.read(key))).rejects.toThrow();
  });

  test("a store that is well says so, and that there is room", async () => {
    const store = await open();
    expect(await store.checkReady()).toBeUndefined();
    expect(await store.checkRoom(0)).toBeUndefined();
  });
}

function testListing(open: () => Promise<BlobStore>): void {
  test("everything that is kept is listed, part files and blobs, with what is known of it", async () => {
    const store = await open();
    const [one, other] = [await committed(store, bytes("one")), await committed(store, bytes("another"))];
    const part = freshPart(store);
    await write(store, part, [bytes("arriving")]);
    const listed = await Array.fromAsync(store.list());
    expect(listed.map(({ key }) => key).toSorted()).toEqual([one.key, other.key, part].toSorted());
    expect(listed.find(({ key }) => key === one.key)).toEqual({ key: one.key, ...one.stat });
    expect(listed.find(({ key }) => key === part)?.size).toBe(8);
  });

  test("what is deleted is listed no more, and an empty store lists nothing", async () => {
    const store = await open();
    expect(await Array.fromAsync(store.list())).toEqual([]);
    const { key } = await committed(store, bytes("old"));
    await store.delete([key]);
    expect(await Array.fromAsync(store.list())).toEqual([]);
  });
}

function testDeleting(open: () => Promise<BlobStore>): void {
  test("what is deleted is gone: blobs and part files", async () => {
    const store = await open();
    const { key } = await committed(store, bytes("old"));
    const part = freshPart(store);
    await write(store, part, [bytes("abandoned")]);
    await store.delete([key, part]);
    expect(await store.stat(key)).toBeUndefined();
    await expect(collect(store.read(key))).rejects.toThrow();
    expect(await store.resume(part, 0)).toBeUndefined();
  });

  test("keys that are not there are no error, and keep nothing from being deleted", async () => {
    const store = await open();
    const { key } = await committed(store, bytes("old"));
    const absent = store.storageKey(freshPart(store), digestOf(bytes("old")));
    await store.delete([absent, freshPart(store), key, absent]);
    expect(await store.stat(key)).toBeUndefined();
    await store.delete([key]);
    await store.delete([]);
  });

  test("other blobs stay", async () => {
    const store = await open();
    const [old, other] = [await committed(store, bytes("old")), await committed(store, bytes("other"))];
    await store.delete([old.key]);
    expect(await textOf(store.read(other.key))).toBe("other");
  });
}

function freshPart(store: BlobStore): PartKey {
  return store.partKey(randomUUID());
}

/** Begins the part file and leaves `pieces` in it, durable. */
async function write(store: BlobStore, key: PartKey, pieces: Iterable<Uint8Array>): Promise<void> {
  await using part = await store.stage(key);
  for (const piece of pieces) await part.append(piece);
  await part.sync();
}

async function committed(store: BlobStore, content: Uint8Array) {
  const part = freshPart(store);
  const key: StorageKey = store.storageKey(part, digestOf(content));
  await write(store, part, [content]);
  return { part, key, stat: await store.commit(part, key) };
}

async function present<Value>(found: Promise<Value | undefined>): Promise<Value> {
  const value = await found;
  if (value === undefined) throw new Error("it should have been there");
  return value;
}

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function* inPieces(content: Uint8Array, size: number): Generator<Uint8Array> {
  for (let at = 0; at < content.length; at += size) yield content.subarray(at, at + size);
}

async function collect(source: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  return Uint8Array.from(Buffer.concat(await Array.fromAsync(source)));
}

async function textOf(source: AsyncIterable<Uint8Array>): Promise<string> {
  return Buffer.from(await collect(source)).toString();
}

/** Bytes of which no two stretches are alike (xorshift32). */
function noise(size: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(size / 4));
  let state = 2463534242;
  for (let at = 0; at < words.length; at++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[at] = state;
  }
  return new Uint8Array(words.buffer, 0, size);
}
