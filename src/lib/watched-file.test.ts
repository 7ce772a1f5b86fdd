/** Files that are read again when they changed. */
import { describe, expect, test } from "bun:test";
import { rename, rm, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { scratchFolder } from "../../test/support/scratch.ts";
import { WatchedFile } from "./watched-file.ts";

const scratch = await scratchFolder();
let files = 0;

/** A file under watch, and how often it was read and could not be. */
async function watched(content: string | undefined) {
  const path = join(scratch, `file-${files++}`);
  if (content !== undefined) await writeFile(path, content);
  const counts = { read: 0, errors: 0 };
  const clock = { ms: Date.now() + 1000, now: () => clock.ms };
  const file = new WatchedFile(path, clock, {
    parse(text) {
      counts.read++;
      if (text === "bad") throw new Error("it is bad");
      return text;
    },
    onError() {
      counts.errors++;
      return "error";
    },
  });
  const next = (): string => {
    clock.ms++;
    return file.content;
  };
  return { path, file, counts, clock, next };
}

describe("a watched file", () => {
  test("is read once while it stays the same", async () => {
    const { counts, next } = await watched("one");
    for (let time = 0; time < 5; time++) expect(next()).toBe("one");
    expect(counts).toEqual({ read: 1, errors: 0 });
  });

  test("is read again when it was written, replaced, or is back", async () => {
    const { path, next } = await watched("one");
    expect(next()).toBe("one");
    await writeFile(path, "other");
    expect(next()).toBe("other");
    await writeFile(`${path}.new`, "third");
    await rename(`${path}.new`, path);
    expect(next()).toBe("third");
    await rm(path);
    expect(next()).toBe("error");
    await writeFile(path, "fourth");
    expect(next()).toBe("fourth");
  });

  test("is read again when something of the same length with the same time took its place", async () => {
    const { path, next } = await watched("one");
    const time = new Date(1_600_000_000_000);
    await utimes(path, time, time);
    expect(next()).toBe("one");
    await writeFile(path, "two");
    await utimes(path, time, time);
    expect(next()).toBe("two");
  });

  test("that has only just been written is read once more: another change in the same instant would not show", async () => {
    const { path, counts, clock, next } = await watched("one");
    clock.ms = Date.now();
    await writeFile(path, "two");
    expect(next()).toBe("two");
    expect(next()).toBe("two");
    expect(counts.read).toBe(2);
  });

  test("has another version when it holds something else, or cannot be read, and the same one otherwise", async () => {
    const { path, file, clock } = await watched("one");
    const versions = [file.version];
    const wait = (): void => void clock.ms++;
    for (const content of ["one", "two", "two", "bad", "two"]) {
      await writeFile(path, content);
      wait();
      versions.push(file.version);
    }
    await rm(path);
    wait();
    versions.push(file.version, file.version);
    expect(versions.map((version) => version - (versions[0] ?? 0))).toEqual([0, 0, 1, 1, 2, 3, 4, 4]);
  });

  test("is not looked at twice in the same millisecond", async () => {
    const { path, file, next } = await watched("one");
    expect(next()).toBe("one");
    await writeFile(path, "other");
    expect(file.content).toBe("one");
    expect(next()).toBe("other");
  });

  test("that cannot be read or understood is told once, until it changes", async () => {
    const absent = await watched(undefined);
    for (let time = 0; time < 3; time++) expect(absent.next()).toBe("error");
    expect(absent.counts).toEqual({ read: 0, errors: 1 });
    const bad = await watched("bad");
    for (let time = 0; time < 3; time++) expect(bad.next()).toBe("error");
    expect(bad.counts.errors).toBe(1);
    await writeFile(bad.path, "good");
    expect(bad.next()).toBe("good");
  });
});
