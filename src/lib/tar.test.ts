import { expect, test } from "bun:test";
import { tarOf } from "./tar.ts";

test("a tar archive is read by tar", () => {
  const files = { "etc/motd": "hello\n", empty: "", "data/block": new Uint8Array(512).fill(65) };
  const list = Bun.spawnSync(["tar", "-tvf", "-"], { stdin: Buffer.from(tarOf(files)) });
  expect(list.exitCode).toBe(0);
  const named = list.stdout.toString().trim().split("\n");
  expect(named.map((line) => [line.split(/\s+/)[2], line.split(" ").at(-1)])).toEqual([
    ["6", "etc/motd"],
    ["0", "empty"],
    ["512", "data/block"],
  ]);
  const motd = Bun.spawnSync(["tar", "-xOf", "-", "etc/motd"], { stdin: Buffer.from(tarOf(files)) });
  expect(motd.stdout.toString()).toBe("hello\n");
});

test("the same files give the same archive", () => {
  expect(tarOf({ a: "1" })).toEqual(tarOf({ a: "1" }));
});

test("a path that does not fit is refused", () => {
  expect(() => tarOf({ ["é".repeat(51)]: "" })).toThrow(RangeError);
  expect(() => tarOf({ ["a".repeat(100)]: "" })).not.toThrow();
});
