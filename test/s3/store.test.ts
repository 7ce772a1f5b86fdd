/** The store on S3: the suite of all stores, what it asks of S3, and what it leaves there. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { randomBytes, randomUUID } from "node:crypto";
import { digestOf } from "../../src/oci/digest.ts";
import type { CountedPart } from "../../src/storage/blob-store.ts";
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
