/** Parts of files that are in the page cache, and the descriptors that stay open for a moment. */
import { afterAll, expect, spyOn, test } from "bun:test";
import { mkdtemp, readdir, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "../../observe/logger.ts";
import type { Reply } from "../http/reply.ts";
import { listen } from "./listen.ts";
import { PageCacheReader } from "./page-cache-reader.ts";

const folder = await mkdtemp(join(tmpdir(), "stowage-page-cache-"));
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

const SIZE = 1_000_000;

/** Of which no two stretches are alike. */
const CONTENT = Buffer.from(Uint32Array.from({ length: SIZE / 4 }, (_, at) => at * 2_654_435_761).buffer);

async function file(name: string, content: Uint8Array = CONTENT): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, content);
  return path;
}

function part(path: string, start: number, length: number) {
  return { kind: "file", path, range: { start, end: start + length - 1 } } as const;
}

async function openDescriptors(): Promise<number> {
  return (await readdir("/proc/self/fd")).length;
}

const isLinux = process.platform === "linux";

test.if(isLinux)("a part of a file that was just written is read at once", async () => {
  using reader = new PageCacheReader();
  const path = await file("read");
  for (const [start, length] of [
    [0, 1],
    [7, 65_536],
    [SIZE - 262_144, 262_144],
    [SIZE - 1, 1],
  ] as const) {
    expect(reader.read(part(path, start, length))).toEqual(CONTENT.subarray(start, start + length));
  }
});

test("long parts, parts behind the end and absent files are left to the runtime", async () => {
  using reader = new PageCacheReader();
  const path = await file("left");
  expect(reader.read(part(path, 0, 262_145))).toBeUndefined();
  expect(reader.read(part(path, SIZE - 10, 11))).toBeUndefined();
  expect(reader.read(part(join(folder, "absent"), 0, 1))).toBeUndefined();
});

test.if(isLinux)("a file in the place of another is read a second later at most", async () => {
  using reader = new PageCacheReader();
  const path = await file("replaced", new Uint8Array([1]));
  expect(reader.read(part(path, 0, 1))).toEqual(Buffer.from([1]));
  await rename(await file("replacement", new Uint8Array([2])), path);
  const later = performance.now() + 1000;
  const clock = spyOn(performance, "now").mockImplementation(() => later);
  try {
    expect(reader.read(part(path, 0, 1))).toEqual(Buffer.from([2]));
  } finally {
    clock.mockRestore();
  }
});

test.if(isLinux)("64 files are open at most, and none when the server has stopped", async () => {
  const before = await openDescriptors();
  {
    using reader = new PageCacheReader();
    for (let at = 0; at < 100; at++) reader.read(part(await file(`many-${at}`, new Uint8Array(10)), 0, 10));
    expect(await openDescriptors()).toBeLessThanOrEqual(before + 64);
  }
  expect(await openDescriptors()).toBeLessThanOrEqual(before);
});

test("responses that are sent at the same time have their own bytes, however slowly they are read", async () => {
  const path = await file("slow");
  const length = 200_000;
  const handle = ({ url }: Request): Reply => ({
    status: 206,
    headers: { "content-length": String(length) },
    body: part(path, Number(new URL(url).searchParams.get("start")), length),
  });
  const listening = await listen({ kind: "tcp", hostname: "127.0.0.1", port: 0 }, handle, { log: silentLogger() });
  const starts = Array.from({ length: 40 }, (_, at) => at * 20_000);
  const replies = await Promise.all(starts.map((start) => fetch(`${listening.url}/?start=${start}`)));
  for (const [at, start] of starts.entries()) {
    const bytes = await replies[at]?.bytes();
    expect(Buffer.compare(bytes ?? new Uint8Array(), CONTENT.subarray(start, start + length))).toBe(0);
  }
  await listening.stop();
});
