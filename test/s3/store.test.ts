/** The store on S3: the suite of all stores, what it asks of S3, and what it leaves there. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { randomBytes, randomUUID } from "node:crypto";
import { digestOf } from "../../src/oci/digest.ts";
import type { CountedPart, PartWriter } from "../../src/storage/blob-store.ts";
import { S3BlobStore } from "../../src/storage/s3/s3-blob-store.ts";
import { MIN_PART_BYTES } from "../../src/storage/s3-options.ts";
import { blobStoreSuite } from "../../src/storage/testing/blob-store-suite.ts";
import { FaultyS3 } from "./support/faulty-s3.ts";
import { startS3 } from "./support/s3-server.ts";

setDefaultTimeout(120_000);

const s3 = await startS3();
const LARGE = 2 * MIN_PART_BYTES + 1_800_007;

blobStoreSuite("S3", async () => new S3BlobStore(s3.options({ partBytes: MIN_PART_BYTES })), { largeBytes: LARGE });

describe("S3: requests", () => {
  test("a blob that is shorter than a part is one PUT", async () => {
    await using proxy = await FaultyS3.open(s3.url);
    const store = new S3BlobStore(s3.options({ endpoint: proxy.url, partBytes: MIN_PART_BYTES }));
    await push(store, randomBytes(100_000));
    expect(proxy.calls).toEqual(["PUT object"]);
    await store.close();
  });

  test("a blob of three parts is a multipart upload of three parts, sent to its final key", async () => {
    await using proxy = await FaultyS3.open(s3.url);
    const store = new S3BlobStore(s3.options({ endpoint: proxy.url, partBytes: MIN_PART_BYTES }));
    const content = randomBytes(LARGE);
    const key = await push(store, content);
    expect(proxy.calls).toEqual(["POST create", "PUT part", "PUT part", "PUT part", "POST complete"]);
    expect(digestOf(Buffer.concat(await Array.fromAsync(store.read(key))))).toBe(digestOf(content));
    await store.close();
  });

  test("an upload that is recorded and closed later is not sent twice", async () => {
    await using proxy = await FaultyS3.open(s3.url);
    const store = new S3BlobStore(s3.options({ endpoint: proxy.url, partBytes: MIN_PART_BYTES }));
    const part = await record(store, randomBytes(100_000));
    await using writer = (await store.resume(part))!;
    await writer.commit(store.storageKey(part.key));
    expect(proxy.count("PUT object")).toBe(1);
    await store.close();
  });

  test("an upload continues when the parts are smaller than what was recorded as one object", async () => {
    const content = randomBytes(LARGE);
    const options = s3.options({ partBytes: 2 * MIN_PART_BYTES });
    const before = new S3BlobStore(options);
    const part = await record(before, content.subarray(0, MIN_PART_BYTES + 1_000_000));
    await before.close();
    const store = new S3BlobStore({ ...options, partBytes: MIN_PART_BYTES });
    await using writer = (await store.resume(part))!;
    await writer.append(content.subarray(part.size));
    const key = store.storageKey(part.key);
    await writer.commit(key);
    expect(digestOf(Buffer.concat(await Array.fromAsync(store.read(key))))).toBe(digestOf(content));
    await store.close();
  });

  test("a writer that gives up aborts the multipart upload that it began", async () => {
    const store = new S3BlobStore(s3.options({ partBytes: MIN_PART_BYTES }));
    {
      await using writer = await store.begin(store.partKey(randomUUID()));
      await writer.append(randomBytes(LARGE));
    }
    expect(await Array.fromAsync(store.list())).toEqual([]);
  });

  test("parts grow for a blob that is announced with more than 10,000 of them", async () => {
    await using proxy = await FaultyS3.open(s3.url);
    const store = new S3BlobStore(s3.options({ endpoint: proxy.url, partBytes: MIN_PART_BYTES }));
    await using writer = await store.begin(store.partKey(randomUUID()), { announced: 100 * 1024 ** 3 });
    await writer.append(randomBytes(10 * 1024 ** 2));
    expect(proxy.count("PUT part")).toBe(0); // the first part has 11 MiB
    await writer.append(randomBytes(2 * 1024 ** 2));
    await writer.checkpoint();
    expect(proxy.count("PUT part")).toBe(1);
  });
});

describe("S3: memory", () => {
  test("64 uploads at once never have more bytes on their way to S3 than the budget", async () => {
    await using proxy = await FaultyS3.open(s3.url);
    const uploadMemoryBytes = 8 * MIN_PART_BYTES;
    const store = new S3BlobStore(s3.options({ endpoint: proxy.url, partBytes: MIN_PART_BYTES, uploadMemoryBytes }));
    const content = randomBytes(MIN_PART_BYTES + 1);
    const keys = await Promise.all(Array.from({ length: 64 }, () => push(store, content)));
    expect(proxy.mostInFlight).toBeGreaterThan(MIN_PART_BYTES); // parts of several are under way
    expect(proxy.mostInFlight).toBeLessThanOrEqual(uploadMemoryBytes);
    for (const key of keys) expect((await store.stat(key))?.size).toBe(content.length);
    await store.delete(keys);
    await store.close();
  });

  test("clients that trickle keep no other from pushing: their bytes are set aside while others wait", async () => {
    await using proxy = await FaultyS3.open(s3.url);
    const uploadMemoryBytes = 2 * MIN_PART_BYTES;
    const options = s3.options({ endpoint: proxy.url, partBytes: MIN_PART_BYTES, uploadMemoryBytes });
    const store = new S3BlobStore(options);
    // Some have sent a part already, the others a few bytes.
    const contents = Array.from({ length: 6 }, (_, at) => randomBytes((at < 2 ? MIN_PART_BYTES : 0) + 200_000 + at));
    const trickling = contents.map((content) => new Trickle(store, content));
    await Promise.all(trickling.map((each) => each.send(each.content.length - 100_000)));
    const pushed = await push(store, randomBytes(LARGE)); // while six hold what they have
    expect((await store.stat(pushed))?.size).toBe(LARGE);
    await Promise.all(trickling.map((each) => each.send(50_000)));
    // Each goes on from where it is, recorded or not.
    const keys = await Promise.all(trickling.map((each, at) => (at % 2 ? each.resumeAndCommit() : each.commit())));
    for (const [at, key] of keys.entries()) {
      const got = Buffer.concat(await Array.fromAsync(store.read(key)));
      expect(digestOf(got)).toBe(digestOf(contents[at]!));
    }
    expect(proxy.mostInFlight).toBeLessThanOrEqual(uploadMemoryBytes);
    await store.close();
    const left = (await Array.fromAsync(new S3BlobStore(options).list())).map(({ key }) => key).toSorted();
    expect(left).toEqual([...keys, pushed].toSorted()); // nothing that was set aside
  });

  test("a blob that has more bytes than were announced is whole", async () => {
    const store = new S3BlobStore(s3.options({ partBytes: MIN_PART_BYTES }));
    const content = randomBytes(LARGE);
    const part = store.partKey(randomUUID());
    await using writer = await store.begin(part, { announced: 100_000 });
    for (let at = 0; at < LARGE; at += 99_999) await writer.append(content.subarray(at, at + 99_999));
    const key = store.storageKey(part);
    await writer.commit(key);
    expect(digestOf(Buffer.concat(await Array.fromAsync(store.read(key))))).toBe(digestOf(content));
    await store.close();
  });

  test("a reader that stops is not read ahead of", async () => {
    const store = new S3BlobStore(s3.options());
    const key = await push(store, Buffer.alloc(64 * 1024 ** 2, 7));
    Bun.gc(true);
    const before = process.memoryUsage().rss;
    const readers = Array.from({ length: 30 }, () => store.read(key)[Symbol.asyncIterator]());
    for (const reader of readers) await reader.next();
    await Bun.sleep(1000); // time to read all of it, if it did
    const grown = process.memoryUsage().rss - before;
    expect(grown).toBeLessThan(readers.length * 6 * 1024 ** 2); // of 64 MiB each
    for (const reader of readers) await reader.return?.(undefined);
    await store.delete([key]);
  });
});

/** An upload whose bytes come now and then. */
class Trickle {
  readonly content: Uint8Array;
  readonly #store: S3BlobStore;
  readonly #part;
  #writer: Promise<PartWriter>;
  #sent = 0;

  constructor(store: S3BlobStore, content: Uint8Array) {
    this.#store = store;
    this.content = content;
    this.#part = store.partKey(randomUUID());
    this.#writer = store.begin(this.#part);
  }

  async send(bytes: number): Promise<void> {
    const from = this.#sent;
    this.#sent = Math.min(this.content.length, from + bytes);
    await (await this.#writer).append(this.content.subarray(from, this.#sent));
  }

  async resumeAndCommit() {
    await using before = await this.#writer;
    const state = await before.checkpoint();
    await before[Symbol.asyncDispose]();
    const resumed = await this.#store.resume({ key: this.#part, state, size: this.#sent });
    this.#writer = Promise.resolve(resumed!);
    return await this.commit();
  }

  async commit() {
    await using writer = await this.#writer;
    await this.send(Infinity);
    const key = this.#store.storageKey(this.#part);
    await writer.commit(key);
    return key;
  }
}

async function push(store: S3BlobStore, content: Uint8Array) {
  const part = store.partKey(randomUUID());
  await using writer = await store.begin(part);
  for (let at = 0; at < content.length; at += 65_536) await writer.append(content.subarray(at, at + 65_536));
  const key = store.storageKey(part);
  await writer.commit(key);
  return key;
}

async function record(store: S3BlobStore, content: Uint8Array): Promise<CountedPart> {
  const key = store.partKey(randomUUID());
  await using writer = await store.begin(key);
  await writer.append(content);
  return { key, state: await writer.checkpoint(), size: content.length };
}
