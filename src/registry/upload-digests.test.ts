/** Closing an upload with several digests: each algorithm is computed once, and not for a client that has left. */
import { expect, spyOn, test } from "bun:test";
import { MemoryEngine } from "../metadata/memory/memory-engine.ts";
import { Metadata } from "../metadata/metadata.ts";
import { digestOf } from "../oci/digest.ts";
import { MemoryBlobStore } from "../storage/memory/memory-blob-store.ts";
import { systemClock } from "../lib/clock.ts";
import { createBackend } from "./backend.ts";
import { LocalNamespace } from "./namespace.ts";
import { APP, LARGE, contentOf, pull, refusalOf, streamOf } from "./testing/contract-subject.ts";
import { BrokenBodyError } from "../lib/broken-body-error.ts";
import type { BlobUpload } from "./uploads.ts";

const CONTENT = contentOf("closed with many digests", LARGE);
const SHA256 = digestOf(CONTENT);
const SHA512 = digestOf(CONTENT, "sha512");

test("PUT with 400 repeated digests reads the bytes again once", async () => {
  const { store, upload, repository } = await openUpload();
  const read = spyOn(store, "read");
  const repeated = Array.from({ length: 200 }, () => [SHA256, SHA512]).flat();
  await upload.finish([SHA256, ...repeated]);
  expect(read).toHaveBeenCalledTimes(1);
  expect(await pull(repository, SHA256)).toEqual(CONTENT);
});

test("PUT with two different digests of one algorithm returns DIGEST_INVALID and reads nothing", async () => {
  const { store, upload, repository } = await openUpload();
  const read = spyOn(store, "read");
  const others = Array.from({ length: 400 }, (_, at) => digestOf(contentOf(at, 10)));
  expect(await refusalOf(upload.finish([SHA256, ...others]))).toBe("DIGEST_INVALID 400");
  expect(read).not.toHaveBeenCalled();
  expect(await repository.blobs.resume(upload.id)).toBeUndefined();
});

test("a client that leaves while bytes are read again ends the reading, and the upload is as it was", async () => {
  const { store, upload, repository } = await openUpload();
  const client = new AbortController();
  let ended = false;
  const read = spyOn(store, "read").mockImplementation(async function* () {
    try {
      for (;;) {
        yield CONTENT;
        client.abort();
      }
    } finally {
      ended = true;
    }
  });
  await expect(upload.finish([SHA512], undefined, {}, client.signal)).rejects.toBeInstanceOf(BrokenBodyError);
  expect(ended).toBe(true);
  read.mockRestore();
  const again = (await repository.blobs.resume(upload.id))!;
  expect(again.size).toBe(LARGE);
  await again.finish([SHA512]);
  expect(await pull(repository, SHA512)).toEqual(CONTENT);
});

/** An upload whose bytes lie in a part file, and were hashed by a process that this one is not. */
async function openUpload() {
  const store = new MemoryBlobStore();
  const metadata = new Metadata(await MemoryEngine.open(), systemClock);
  const process = (): LocalNamespace => new LocalNamespace(createBackend({ store, metadata, clock: systemClock }));
  const begun = await process().repository(APP).blobs.upload();
  await begun.append(streamOf(CONTENT));
  const repository = process().repository(APP);
  const upload: BlobUpload = (await repository.blobs.resume(begun.id))!;
  return { store, repository, upload };
}
