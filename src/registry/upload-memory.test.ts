/** What a process remembers of uploads: as much as helps, and never of another version. */
import { expect, test } from "bun:test";
import { Digester, digestOf } from "../oci/digest.ts";
import { UploadMemory } from "./upload-memory.ts";

test("the running hash is that of the version it was kept for, and of no other", () => {
  const memory = new UploadMemory();
  const digester = Digester.of("sha256");
  digester.update(Buffer.from("so far"));
  memory.remember("one", 3, digester);
  expect(memory.recall("one", 3)?.digest("sha256")).toBe(digestOf(Buffer.from("so far")));
  expect(memory.recall("one", 2)).toBeUndefined();
  expect(memory.recall("one", 4)).toBeUndefined();
  expect(memory.recall("other", 3)).toBeUndefined();
  memory.remember("one", 4, Digester.of("sha256"));
  expect(memory.recall("one", 3)).toBeUndefined();
  memory.forget("one");
  expect(memory.recall("one", 4)).toBeUndefined();
  memory.forget("one");
});

test("of very many uploads the oldest are forgotten first, and one that goes on counts as new", () => {
  const memory = new UploadMemory();
  const digester = Digester.of("sha256");
  for (let at = 0; at < 4096; at++) memory.remember(`${at}`, 1, digester);
  expect(memory.recall("0", 1)).toBeDefined();
  memory.remember("0", 2, digester);
  memory.remember("one more", 1, digester);
  memory.remember("and another", 1, digester);
  expect(memory.recall("0", 2)).toBeDefined();
  expect([memory.recall("1", 1), memory.recall("2", 1)]).toEqual([undefined, undefined]);
  expect(memory.recall("3", 1)).toBeDefined();
});
