/** What every BlobStore must do, whatever it stores on. */
import { describe, expect, test } from "bun:test";
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import * as fc from "fast-check";
import { partOf, readLocation } from "../../lib/byte-location.ts";
import { digestOf } from "../../oci/digest.ts";
import { MissingBlobError } from "../blob-store.ts";
import type { BlobStore, CountedPart, PartKey, PartWriter, StorageKey } from "../blob-store.ts";

/** More than any buffer of a store, and no multiple of one. */
const LARGE = 1_300_007;

/** `open` gives a fresh store each time; the caller of the suite removes what they leave behind. */
export function blobStoreSuite(
  name: string,
  open: () => Promise<BlobStore>,
  { largeBytes = LARGE }: { readonly largeBytes?: number } = {},
): void {
  describe(`${name}: parts`, () => {
    testParts(open, largeBytes);
  });
  describe(`${name}: taking over`, () => {
    testTakingOver(open, largeBytes);
  });
  describe(`${name}: committing`, () => {
    testCommitting(open, largeBytes);
  });
  describe(`${name}: reading`, () => {
    testReading(open, largeBytes);
  });
  describe(`${name}: listing`, () => {
    testListing(open);
  });
  describe(`${name}: deleting`, () => {
    testDeleting(open);
  });
}

function testParts(open: () => Promise<BlobStore>, large: number): void {
  test("bytes come back however they were cut", async () => {
    const store = await open();
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 4096 }), fc.integer({ min: 1, max: 999 }), async (content, size) => {
        const { key, stat } = await committed(store, content, size);
        expect(stat.size).toBe(content.length);
        expect(await collect(store.read(key))).toEqual(content);
      }),
      { numRuns: 40 },
    );
  });

  test("appending, checkpoints, breaks and resuming give what the same steps give in memory", async () => {
    const store = await open();
    const step = fc.oneof(
      fc.record({ do: fc.constant("append" as const), bytes: fc.uint8Array({ maxLength: 2000 }) }),
      fc.record({ do: fc.constant("checkpoint" as const) }),
      fc.record({ do: fc.constant("break" as const) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
        const key = freshPart(store);
        let counted: CountedPart = { key, state: undefined, size: 0 };
        let kept: Uint8Array = new Uint8Array();
        let model: Uint8Array = kept;
        let writer = await store.begin(key);
        for (const each of steps) {
          if (each.do === "append") {
            await writer.append(each.bytes);
            model = Buffer.concat([model, each.bytes]);
          } else if (each.do === "checkpoint") {
            counted = { key, state: await writer.checkpoint(), size: model.length };
            kept = model;
          } else {
            await writer[Symbol.asyncDispose]();
            writer = counted.size > 0 ? await present(store.resume(counted)) : await store.begin(key);
            model = kept;
          }
        }
        const blob = store.storageKey(key, digestOf(model));
        expect((await writer.commit(blob)).size).toBe(model.length);
        await writer[Symbol.asyncDispose]();
        expect(await collect(store.read(blob))).toEqual(Uint8Array.from(model));
      }),
      { numRuns: 40 },
    );
  });

  test("bytes beyond every buffer are kept in order", async () => {
    const store = await open();
    const content = noise(large);
    const part = await write(store, freshPart(store), [
      content.subarray(0, 3),
      ...inPieces(content.subarray(3, 900_000), 65_536),
    ]);
    const key = await commit(store, part, [content.subarray(900_000)]);
    expect(digestOf(await collect(store.read(key)))).toBe(digestOf(content));
  });

  test("a buffer may be used again once it was appended", async () => {
    const store = await open();
    const part = freshPart(store);
    const key = store.storageKey(part, digestOf(bytes("the place")));
    const buffer = new Uint8Array(8);
    await using writer = await store.begin(part);
    for (const value of [1, 2, 3]) await writer.append(buffer.fill(value));
    await writer.commit(key);
    expect(await collect(store.read(key))).toEqual(
      Uint8Array.from([...Array(8).fill(1), ...Array(8).fill(2), ...Array(8).fill(3)]),
    );
  });

  test("resuming drops what lies behind the bytes that count", async () => {
    const store = await open();
    const part = freshPart(store);
    const counted = await write(store, part, [bytes("counted")]);
    {
      await using broken = await present(store.resume(counted));
      await broken.append(bytes(", never recorded"));
      await broken.checkpoint();
    }
    const key = await commit(store, counted, [bytes("!")]);
    expect(await textOf(store.read(key))).toBe("counted!");
  });

  test("resuming a part that is not there gives undefined", async () => {
    const store = await open();
    expect(await store.resume({ key: freshPart(store), state: undefined, size: 4 })).toBeUndefined();
  });

  test("a part that is begun again is empty", async () => {
    const store = await open();
    const part = freshPart(store);
    await write(store, part, [bytes("what a writer that died left behind")]);
    const again = await write(store, part, [bytes("new")]);
    expect(await textOf(store.read(await commit(store, again)))).toBe("new");
  });
}

function testTakingOver(open: () => Promise<BlobStore>, large: number): void {
  test("a writer that wakes up does not disturb the one that took over", async () => {
    const store = await open();
    const counted = await write(store, freshPart(store), [bytes("accepted")]);
    await using stalled = await present(store.resume(counted));
    await stalled.append(bytes(", lost"));
    const ending = { committedAs: undefined, mayWakeUp: true };
    const taken = { ...(await present(store.takeOver(counted, freshPart(store), ending))), size: counted.size };
    await stalled.append(bytes(" and written late"));
    await Promise.allSettled([stalled.checkpoint()]);
    const key = await commit(store, taken, [bytes(".")]);
    await Promise.allSettled([stalled.append(bytes("even later")), stalled.checkpoint()]);
    expect(await textOf(store.read(key))).toBe("accepted.");
  });

  test("after a writer that has certainly ended the part continues", async () => {
    const store = await open();
    const counted = await write(store, freshPart(store), [bytes("accepted")]);
    const ending = { committedAs: undefined, mayWakeUp: false };
    const taken = { ...(await present(store.takeOver(counted, freshPart(store), ending))), size: counted.size };
    expect(await textOf(store.read(await commit(store, taken, [bytes(".")])))).toBe("accepted.");
  });

  for (const mayWakeUp of [false, true]) {
    for (const more of ["", ", and more"]) {
      test(`bytes that were committed, and recorded nowhere, can be continued (sleeper: ${mayWakeUp}, more: "${more}")`, async () => {
        const store = await open();
        const counted = await write(store, freshPart(store), [bytes("taken back")]);
        const first = await commit(store, counted);
        const ending = { committedAs: first, mayWakeUp };
        const taken = { ...(await present(store.takeOver(counted, freshPart(store), ending))), size: counted.size };
        const key = await commit(store, taken, [bytes(more)], ".again");
        expect(await textOf(store.read(key))).toBe(`taken back${more}`);
        if (key !== first) await store.delete([first]);
        expect(await textOf(store.read(key))).toBe(`taken back${more}`);
      });
    }
  }

  for (const mayWakeUp of [false, true]) {
    for (const isCommitted of [false, true]) {
      test(`large bytes are taken over (sleeper: ${mayWakeUp}, committed: ${isCommitted})`, async () => {
        const store = await open();
        const content = noise(large);
        const [first, rest] = [content.subarray(0, Math.floor(large * 0.8)), content.subarray(Math.floor(large * 0.8))];
        const counted = await write(store, freshPart(store), [first]);
        await using stalled = await present(store.resume(counted));
        await stalled.append(bytes("what nobody counts"));
        const committedAs = isCommitted ? await commit(store, counted, [bytes("what was never recorded")]) : undefined;
        const fresh = freshPart(store);
        const found = await present(store.takeOver(counted, fresh, { committedAs, mayWakeUp }));
        const taken = { ...found, size: counted.size };
        if (found.key !== counted.key) await store.delete([counted.key]);
        const key = await commit(store, taken, inPieces(rest, 300_000), ".again");
        expect(digestOf(await collect(store.read(key)))).toBe(digestOf(content));
      });
    }
  }

  test("large bytes survive checkpoints at any place", async () => {
    const store = await open();
    const content = noise(large);
    let counted: CountedPart = { key: freshPart(store), state: undefined, size: 0 };
    for (const piece of inPieces(content.subarray(0, -1), Math.ceil(large / 5) + 1)) {
      await using writer = counted.size > 0 ? await present(store.resume(counted)) : await store.begin(counted.key);
      await writer.append(piece);
      counted = { key: counted.key, state: await writer.checkpoint(), size: counted.size + piece.length };
    }
    const key = await commit(store, counted, [content.subarray(-1)]);
    expect(digestOf(await collect(store.read(key)))).toBe(digestOf(content));
  });

  test("bytes that were committed with more than what counts lose the rest", async () => {
    const store = await open();
    const counted = await write(store, freshPart(store), [bytes("counted")]);
    const first = await commit(store, counted, [bytes(", never recorded")]);
    const ending = { committedAs: first, mayWakeUp: false };
    const taken = { ...(await present(store.takeOver(counted, freshPart(store), ending))), size: counted.size };
    expect(await textOf(store.read(await commit(store, taken, [bytes("!")], ".again")))).toBe("counted!");
  });

  test("nothing is taken over when the bytes are not there", async () => {
    const store = await open();
    const part = { key: freshPart(store), state: undefined, size: 4 };
    const ending = { committedAs: undefined, mayWakeUp: true };
    expect(await store.takeOver(part, freshPart(store), ending)).toBeUndefined();
  });
}

function testCommitting(open: () => Promise<BlobStore>, large: number): void {
  test("no reader sees a blob before it is committed, or a part of it", async () => {
    const store = await open();
    const content = noise(large);
    const part = freshPart(store);
    const key = store.storageKey(part, digestOf(content));
    await using writer = await store.begin(part);
    for (const piece of inPieces(content, 100_000)) await writer.append(piece);
    expect(await store.stat(key)).toBeUndefined();
    await expect(collect(store.read(key))).rejects.toThrow(MissingBlobError);
    const committing = { done: false };
    const blob = writer.commit(key).finally(() => (committing.done = true));
    while (!committing.done) expect([undefined, large]).toContain((await store.stat(key))?.size);
    expect(await blob).toEqual(await present(store.stat(key)));
    expect(digestOf(await collect(store.read(key)))).toBe(digestOf(content));
  });

  test("an empty blob is a blob", async () => {
    const store = await open();
    const { key } = await committed(store, new Uint8Array());
    expect((await store.stat(key))?.size).toBe(0);
    expect(await textOf(store.read(key))).toBe("");
  });

  test("the same bytes pushed again get a key of their own", async () => {
    const store = await open();
    const [first, second] = [await committed(store, bytes("same")), await committed(store, bytes("same"))];
    expect(second.key).not.toBe(first.key);
    await store.delete([first.key]);
    expect(await store.stat(first.key)).toBeUndefined();
    expect(await textOf(store.read(second.key))).toBe("same");
  });

  test("many may be committed at once, also side by side", async () => {
    const store = await open();
    // One digest in all keys: stores that sort by digest put them all in one place.
    const digest = digestOf(bytes("the place"));
    const parts = Array.from({ length: 32 }, (_, at) => ({ part: freshPart(store), text: `blob ${at}` }));
    const keys = await Promise.all(
      parts.map(async ({ part, text }) => {
        await using writer = await store.begin(part);
        await writer.append(bytes(text));
        const key = store.storageKey(part, digest);
        await writer.commit(key);
        return key;
      }),
    );
    expect(new Set(keys).size).toBe(keys.length);
    for (const [at, key] of keys.entries()) expect(await textOf(store.read(key))).toBe(`blob ${at}`);
  });
}

function testReading(open: () => Promise<BlobStore>, large: number): void {
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
    const content = noise(large);
    const { key } = await committed(store, content);
    const position = fc.integer({ min: 0, max: large - 1 });
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
    await expect(collect(store.read(key))).rejects.toThrow(MissingBlobError);
  });

  test("a fingerprint holds as long as nothing writes to the blob", async () => {
    const store = await open();
    const { key, stat } = await committed(store, bytes("still"));
    expect(await store.isUnchanged(key, stat.fingerprint)).toBe(true);
  });

  test("a store that is well says so, and that there is room", async () => {
    const store = await open();
    expect(await store.checkReady()).toBeUndefined();
    expect(await store.checkRoom(0)).toBeUndefined();
  });
}

function testListing(open: () => Promise<BlobStore>): void {
  test("everything that is kept is listed, parts and blobs", async () => {
    const store = await open();
    const [one, other] = [await committed(store, bytes("one")), await committed(store, bytes("another"))];
    const { key } = await write(store, freshPart(store), [bytes("arriving")]);
    const listed = await Array.fromAsync(store.list());
    const keys = new Set(listed.map((each) => each.key));
    const arriving = listed.find((each) => each.key === key || each.part === key);
    expect([...keys].toSorted()).toEqual([one.key, other.key, arriving?.key ?? key].toSorted());
    expect(listed.find((each) => each.key === one.key)?.size).toBe(3);
  });

  test("what is deleted is listed no more, and an empty store lists nothing", async () => {
    const store = await open();
    expect(await Array.fromAsync(store.list())).toEqual([]);
    const { key } = await committed(store, bytes("old"));
    const part = await write(store, freshPart(store), [bytes("arriving")]);
    await store.delete([key, part.key]);
    expect(await Array.fromAsync(store.list())).toEqual([]);
  });
}

function testDeleting(open: () => Promise<BlobStore>): void {
  test("what is deleted is gone: blobs and parts", async () => {
    const store = await open();
    const { key } = await committed(store, bytes("old"));
    const part = await write(store, freshPart(store), [bytes("abandoned")]);
    await store.delete([key, part.key]);
    expect(await store.stat(key)).toBeUndefined();
    await expect(collect(store.read(key))).rejects.toThrow(MissingBlobError);
    expect(await Array.fromAsync(store.list())).toEqual([]);
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

/** Begins the part and leaves `pieces` in it, durable. */
async function write(store: BlobStore, key: PartKey, pieces: Iterable<Uint8Array>): Promise<CountedPart> {
  await using writer = await store.begin(key);
  let size = 0;
  for (const piece of pieces) {
    await writer.append(piece);
    size += piece.length;
  }
  return { key, state: await writer.checkpoint(), size };
}

/** Appends to a part and makes it a blob, whose key it returns. */
async function commit(
  store: BlobStore,
  part: CountedPart,
  pieces: Iterable<Uint8Array> = [],
  attempt?: string,
): Promise<StorageKey> {
  const key = store.storageKey(part.key, digestOf(bytes("the place")), attempt);
  await using writer: PartWriter = await present(store.resume(part));
  for (const piece of pieces) await writer.append(piece);
  await writer.commit(key);
  return key;
}

async function committed(store: BlobStore, content: Uint8Array, pieceSize = 65_536) {
  const part = freshPart(store);
  const key: StorageKey = store.storageKey(part, digestOf(content));
  await using writer = await store.begin(part);
  for (const piece of inPieces(content, pieceSize)) await writer.append(piece);
  return { part, key, stat: await writer.commit(key) };
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
