/** The cache of running hashes: bounded, and never of another version. */
import { expect, test } from "bun:test";
import { Digester, digestOf } from "../oci/digest.ts";
import { HashStateCache } from "./hash-state-cache.ts";

test("the running hash is that of the version it was kept for, and of no other", () => {
  const cache = new HashStateCache();
  const digester = Digester.of("sha256");
  digester.update(Buffer.from("so far"));
  cache.set("one", 3, digester);
  expect(cache.get("one", 3)?.digest("sha256")).toBe(digestOf(Buffer.from("so far")));
  expect(cache.get("one", 2)).toBeUndefined();
  expect(cache.get("one", 4)).toBeUndefined();
  expect(cache.get("other", 3)).toBeUndefined();
  cache.set("one", 4, Digester.of("sha256"));
  expect(cache.get("one", 3)).toBeUndefined();
  cache.delete("one");
  expect(cache.get("one", 4)).toBeUndefined();
  cache.delete("one");
});

test("of very many uploads the oldest are evicted first, and one that goes on counts as new", () => {
  const cache = new HashStateCache();
  const digester = Digester.of("sha256");
  for (let at = 0; at < 4096; at++) cache.set(`${at}`, 1, digester);
  expect(cache.get("0", 1)).toBeDefined();
  cache.set("0", 2, digester);
  cache.set("one more", 1, digester);
  cache.set("and another", 1, digester);
  expect(cache.get("0", 2)).toBeDefined();
  expect([cache.get("1", 1), cache.get("2", 1)]).toEqual([undefined, undefined]);
  expect(cache.get("3", 1)).toBeDefined();
});
