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

test("of very many uploads the least recently used are evicted, and one that goes on stays", () => {
  const cache = new HashStateCache();
  const digester = Digester.of("sha256");
  for (let at = 0; at < 10_000; at++) {
    cache.set(`${at}`, 1, digester);
    if (at % 100 === 0) cache.set("goes on", at, digester);
  }
  expect(cache.get("goes on", 9900)).toBeDefined();
  expect(cache.get("9999", 1)).toBeDefined();
  expect(cache.get("7000", 1)).toBeDefined();
  expect(cache.get("0", 1)).toBeUndefined();
});
