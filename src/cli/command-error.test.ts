/** Errors that end a command: in words for an operator, with the right exit code. */
import { describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { CommandError, failingWith2, systemErrorText } from "./command-error.ts";

function thrownBy(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
}

describe("an error of the system about a file", () => {
  for (const [work, said] of [
    [() => readFileSync("/nowhere/file"), "/nowhere/file cannot be used: it does not exist"],
    [() => readFileSync("/"), "it is a folder"],
    [() => readdirSync(import.meta.path), "a part of its path is not a folder"],
    [() => mkdirSync(import.meta.dir), "already exists"],
    [() => writeFileSync("/dev/full", "x"), "its file system is full"],
  ] as const) {
    test(`is told in plain words: ${said}`, () => {
      const message = systemErrorText(thrownBy(work));
      expect(message).toContain(said);
      expect(message).not.toMatch(/\bE[A-Z]{4,}\b/);
    });
  }

  test("ends a command with 2 whose 1 means something else", async () => {
    const ended = failingWith2(async () => readFileSync("/nowhere/file"));
    await expect(ended).rejects.toMatchObject({
      exitCode: 2,
      message: "/nowhere/file cannot be used: it does not exist",
    });
  });
});

describe("any other error", () => {
  test("is none of the system about a file", async () => {
    const refused = await new Promise((resolve) => connect({ port: 1, host: "127.0.0.1" }).on("error", resolve));
    for (const error of [refused, new Error("ENOENT"), new CommandError("x"), undefined, "ENOENT"]) {
      expect(systemErrorText(error)).toBeUndefined();
    }
  });
});
