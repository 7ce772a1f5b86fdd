import { expect, test } from "bun:test";
import { cpuSeconds, memoryMb } from "./process-tree.ts";

/** A shell whose child has children that work and end, and which stays until it is told to go. */
const PARENT = "(head -c 300000000 /dev/zero | sha256sum; read line); true";

test("the CPU and the memory of a process's children are its own", async () => {
  await using parent = Bun.spawn(["sh", "-c", PARENT], { stdin: "pipe", stdout: "pipe" });
  const before = await cpuSeconds(parent.pid);
  await parent.stdout.getReader().read();
  expect(await cpuSeconds(parent.pid)).toBeGreaterThan(before);
  expect(await memoryMb(parent.pid)).toBeGreaterThan(0);
});

test("a process that has ended counts nothing", async () => {
  const ended = Bun.spawn(["true"]);
  await ended.exited;
  expect(await cpuSeconds(ended.pid)).toBe(0);
});

test("processes that end while they are counted are no error", async () => {
  await using parent = Bun.spawn(["sh", "-c", "while :; do true | true | true; done"]);
  for (let at = 0; at < 50; at++) expect(await memoryMb(parent.pid)).toBeGreaterThan(0);
});
