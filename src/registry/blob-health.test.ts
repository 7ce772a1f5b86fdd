/** How often the file of a blob is read to find out whether it is intact. */
import { afterEach, expect, test } from "bun:test";
import { mkdtemp, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../lib/clock.ts";
import { MemoryEngine } from "../metadata/memory/memory-engine.ts";
import { Metadata } from "../metadata/metadata.ts";
import { FilesystemBlobStore } from "../storage/filesystem/filesystem-blob-store.ts";
import { createBackend } from "./backend.ts";
import { LocalNamespace } from "./namespace.ts";
import { APP, LARGE, contentOf, push } from "./testing/contract-subject.ts";

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

/** A registry in a fresh folder that counts how often its store is asked for the bytes of a file. */
async function openCounting() {
  const folder = await mkdtemp(join(tmpdir(), "stowage-health-"));
  folders.push(folder);
  const reads: string[] = [];
  const files = await FilesystemBlobStore.open(folder);
  const read: FilesystemBlobStore["read"] = (key, range) => {
    reads.push(key);
    return files.read(key, range);
  };
  const store = new Proxy(files, {
    get: (target, name) => {
      if (name === "read") return read;
      const value: unknown = Reflect.get(target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  const metadata = new Metadata(await MemoryEngine.open(), systemClock);
  const { blobs } = new LocalNamespace(createBackend({ store, metadata, clock: systemClock })).repository(APP);
  const digest = await push({ blobs } as Parameters<typeof push>[0], contentOf("touched", LARGE));
  const [file] = await Array.fromAsync(files.list());
  return { blobs, digest, path: join(folder, file!.key), reads };
}

test("concurrent requests for a file whose time changed hash it once", async () => {
  const { blobs, digest, path, reads } = await openCounting();
  await utimes(path, 1_000_000_000, 1_000_000_000);
  const found = await Promise.all(Array.from({ length: 20 }, () => blobs.exists(digest)));
  expect(found).toEqual(Array<boolean>(20).fill(true));
  expect(reads).toHaveLength(1);
  expect(await blobs.exists(digest)).toBe(true);
  expect(reads).toHaveLength(1);
});

test("concurrent requests for a corrupt file hash it once, and none is given it", async () => {
  const { blobs, digest, path, reads } = await openCounting();
  await writeFile(path, contentOf("something else", LARGE));
  await utimes(path, 1_000_000_000, 1_000_000_000);
  const found = await Promise.all(Array.from({ length: 20 }, () => blobs.exists(digest)));
  expect(found).toEqual(Array<boolean>(20).fill(false));
  expect(reads).toHaveLength(1);
});
