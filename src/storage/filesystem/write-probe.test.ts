/** Whether files can be made in some folders. */
import { expect, test } from "bun:test";
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { scratchFolder } from "../../../test/support/scratch.ts";
import { PROBE_NAME, WriteProbe } from "./write-probe.ts";

const root = await scratchFolder();

test("a probe leaves nothing, nor what a killed process left", async () => {
  await writeFile(join(root, PROBE_NAME), "");
  await new WriteProbe([root]).check();
  expect(await readdir(root)).toEqual([]);
});

test("a folder in which nothing can be made is told at once, as long as that lasts", async () => {
  const [good, bad] = [join(root, "good"), join(root, "bad")];
  await mkdir(good);
  await writeFile(bad, "a file where a folder should be");
  const probe = new WriteProbe([good, bad]);
  await expect(probe.check()).rejects.toThrow("ENOTDIR");
  await expect(probe.check()).rejects.toThrow("ENOTDIR");
  await rm(bad);
  await mkdir(bad);
  await probe.check();
});

test("a success counts for a moment: many requests make one file", async () => {
  const folder = join(root, "gone");
  await mkdir(folder);
  const probe = new WriteProbe([folder]);
  await Promise.all(Array.from({ length: 20 }, () => probe.check()));
  await rm(folder, { recursive: true });
  await probe.check();
});
