/** Reading files: what is read, and that no file stays open. */
import { afterAll, describe, expect, test } from "bun:test";
import { readdirSync, readlinkSync } from "node:fs";
import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { collect } from "./collect.ts";
import { readFile } from "./read-file.ts";

const folder = await mkdtemp(join(tmpdir(), "stowage-read-"));
afterAll(async () => {
  await rm(folder, { recursive: true });
});

const CONTENT = Uint8Array.from({ length: 600_007 }, (_, at) => (at * 31) % 251);
const path = join(folder, "content");
await writeFile(path, CONTENT);

/** How often this process has the file open. */
function timesOpen(): number {
  return readdirSync("/proc/self/fd").filter((descriptor) => {
    try {
      return readlinkSync(`/proc/self/fd/${descriptor}`) === path;
    } catch {
      return false; // that of the listing itself
    }
  }).length;
}

describe("readFile", () => {
  test.each([
    ["all of it", undefined, CONTENT],
    ["a range", { start: 300_000, end: 599_999 }, CONTENT.subarray(300_000, 600_000)],
    ["its last byte", { start: 600_006, end: 600_006 }, CONTENT.subarray(600_006)],
    ["what there is of a range that ends beyond it", { start: 600_000, end: 700_000 }, CONTENT.subarray(600_000)],
    ["nothing of a range behind it", { start: 600_007, end: 700_000 }, new Uint8Array()],
  ])("gives %s, and closes the file", async (_what, range, expected) => {
    expect(Buffer.concat(await collect(readFile(path, range))).equals(expected)).toBe(true);
    expect(timesOpen()).toBe(0);
  });

  test("opens nothing before the first piece is asked for, and closes when the reader stops", async () => {
    const unread = readFile(path);
    expect(timesOpen()).toBe(0);
    await unread.return(undefined);
    for await (const piece of readFile(path)) {
      expect(piece.length).toBeGreaterThan(0);
      expect(timesOpen()).toBe(1);
      break;
    }
    expect(timesOpen()).toBe(0);
  });

  test("ends early when the file became shorter, and rejects when it is not there", async () => {
    const shrinking = join(folder, "shrinking");
    await writeFile(shrinking, CONTENT);
    let size = 0;
    for await (const piece of readFile(shrinking)) {
      size += piece.length;
      await truncate(shrinking, size);
    }
    expect(size).toBeLessThan(CONTENT.length);
    await expect(collect(readFile(join(folder, "absent")))).rejects.toThrow("ENOENT");
  });

  test("closes the file of a reader that nothing refers to any more, and throws nothing", async () => {
    const failures: unknown[] = [];
    const failed = (error: unknown): void => void failures.push(error);
    process.on("uncaughtException", failed);
    await abandonReaders();
    while (timesOpen() > 1) {
      Bun.gc(true); // one may be held by what is on the stack
      await Bun.sleep(10);
    }
    process.off("uncaughtException", failed);
    expect(failures).toEqual([]);
  });
});

async function abandonReaders(): Promise<void> {
  for (let count = 0; count < 20; count++) await readFile(path).next();
}
