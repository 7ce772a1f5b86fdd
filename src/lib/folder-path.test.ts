import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { FolderPathError, folderPath } from "./folder-path.ts";

const HERE = process.cwd();

const PATHS: readonly (readonly [written: string, path: string])[] = [
  ["data", join(HERE, "data")],
  ["./data", join(HERE, "data")],
  ["./data/", join(HERE, "data")],
  ["data//", join(HERE, "data")],
  ["a/b/../c", join(HERE, "a/c")],
  ["a//b/./c/", join(HERE, "a/b/c")],
  [".", HERE],
  ["./", HERE],
  ["/abs/x/", "/abs/x"],
  ["//abs", "/abs"],
  ["/", "/"],
  ["/a/../..", "/"],
  [" with space ", join(HERE, " with space ")],
  ["ünï/日本", join(HERE, "ünï/日本")],
  ["./~", join(HERE, "~")],
  ["a/~", join(HERE, "a/~")],
  ["file:x?mode=ro#y%20", join(HERE, "file:x?mode=ro#y%20")],
  [":memory:", join(HERE, ":memory:")],
];

describe("the absolute path of", () => {
  for (const [written, path] of PATHS) {
    test(JSON.stringify(written), () => {
      expect(folderPath(written)).toBe(path);
      expect(folderPath(path)).toBe(path);
    });
  }
});

for (const written of ["", "~", "~/data", "~somebody/data", "a\0b"]) {
  test(`${JSON.stringify(written)} is refused`, () => expect(() => folderPath(written)).toThrow(FolderPathError));
}
