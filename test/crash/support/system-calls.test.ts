import { expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readTrace } from "./system-calls.ts";

test("a call that another one interrupts in the trace is the same call", async () => {
  const folder = await mkdtemp(join(tmpdir(), "stowage-trace-"));
  const file = join(folder, "calls");
  await writeFile(
    file,
    [
      "7 fsync(16</data/blobs>) = 0",
      "7 fsync(16</data/blobs> <unfinished ...>",
      '8 write(4<anon_inode:[eventfd]>, "\\1", 8) = 8',
      "7 <... fsync resumed>)             = 0",
      '9 rename("/data/a", "/data/b") = -1 ENOENT (No such file or directory)',
      "",
    ].join("\n"),
  );
  expect(await readTrace(file)).toEqual([
    { name: "fsync", args: "16</data/blobs>", start: 0, end: 0, result: 0 },
    { name: "fsync", args: "16</data/blobs>", start: 1, end: 3, result: 0 },
    { name: "write", args: '4<anon_inode:[eventfd]>, "\\1", 8', start: 2, end: 2, result: 8 },
  ]);
  await rm(folder, { recursive: true });
});
