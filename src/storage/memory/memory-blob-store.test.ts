/** The blob store in memory: the suite, and what growing bytes cost. */
import { expect, test } from "bun:test";
import { digestOf } from "../../oci/digest.ts";
import { blobStoreSuite } from "../testing/blob-store-suite.ts";
import { MemoryBlobStore } from "./memory-blob-store.ts";

blobStoreSuite("memory", async () => new MemoryBlobStore());

// Copied once per piece, these would be 400 GB: the test would not end.
test("a blob of many small pieces is copied a bounded number of times, not once per piece", async () => {
  const store = new MemoryBlobStore();
  const key = store.partKey("many-pieces");
  const piece = new Uint8Array(2048).fill(7);
  const part = await store.begin(key);
  for (let count = 0; count < 20_000; count++) await part.append(piece);
  const blob = store.storageKey(key, digestOf(piece));
  expect(await part.commit(blob)).toMatchObject({ size: 20_000 * 2048 });
});
