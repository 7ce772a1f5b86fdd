import { describe, expect, test } from "bun:test";
import { array, assert, constantFrom, integer, property, record } from "fast-check";
import { heapStats } from "bun:jsc";
import { ENTRY_BYTES, LruCache, textBytes } from "./lru.ts";

/** A cache for so many entries without bytes of their own. */
function cacheFor(entries: number): LruCache<string, number> {
  return new LruCache(entries * ENTRY_BYTES);
}

describe("a cache that is bounded by bytes", () => {
  test("returns what was stored last under a key, until it is deleted", () => {
    const cache = cacheFor(10);
    cache.set("a", 1, 0);
    cache.set("a", 2, 0);
    expect([cache.get("a"), cache.get("b"), cache.size]).toEqual([2, undefined, 1]);
    expect([cache.delete("a"), cache.delete("a")]).toEqual([true, false]);
    expect([cache.get("a"), cache.size, cache.bytes]).toEqual([undefined, 0, 0]);
  });

  test("evicts the least recently used entry first", () => {
    const cache = cacheFor(3);
    for (const [at, key] of ["a", "b", "c"].entries()) cache.set(key, at, 0);
    cache.get("a");
    cache.set("b", 4, 0);
    cache.set("d", 3, 0);
    expect(["a", "b", "c", "d"].map((key) => cache.get(key))).toEqual([0, 4, undefined, 3]);
  });

  test("evicts as many entries as a new one needs", () => {
    const cache = cacheFor(4);
    for (const key of ["a", "b", "c", "d"]) cache.set(key, 0, 0);
    cache.set("e", 0, 2 * ENTRY_BYTES);
    expect([cache.get("c"), cache.get("d"), cache.get("e"), cache.size]).toEqual([undefined, 0, 0, 2]);
  });

  test("does not store what exceeds the bound by itself, and drops what stood under its key", () => {
    const cache = cacheFor(3);
    cache.set("a", 1, 0);
    cache.set("b", 1, 0);
    cache.set("a", 2, cache.maxBytes);
    expect([cache.get("a"), cache.get("b"), cache.bytes]).toEqual([undefined, 1, ENTRY_BYTES]);
  });

  test("is empty after it was cleared, and works on", () => {
    const cache = cacheFor(3);
    cache.set("a", 1, 0);
    cache.clear();
    expect([cache.size, cache.bytes, cache.get("a")]).toEqual([0, 0, undefined]);
    cache.set("a", 2, 0);
    expect(cache.get("a")).toBe(2);
  });

  test("behaves as a list in the order of use that is cut where the bytes exceed the bound", () => {
    const operation = record({
      kind: constantFrom("set", "get", "delete"),
      key: integer({ min: 0, max: 20 }),
      bytes: integer({ min: 0, max: 1000 }),
    });
    assert(
      property(array(operation, { maxLength: 200 }), (operations) => {
        const cache = new LruCache<number, number>(2000);
        let listed: { readonly key: number; readonly value: number; readonly cost: number }[] = []; // earliest first
        const sum = (): number => listed.reduce((all, { cost }) => all + cost, 0);
        for (const [value, { kind, key, bytes }] of operations.entries()) {
          const found = listed.find((each) => each.key === key);
          if (kind === "get") expect(cache.get(key)).toBe(found?.value as number);
          else if (kind === "delete") expect(cache.delete(key)).toBe(found !== undefined);
          else cache.set(key, value, bytes);
          listed = listed.filter((each) => each.key !== key);
          if (kind === "get" && found) listed.push(found);
          if (kind === "set" && bytes + ENTRY_BYTES <= 2000) listed.push({ key, value, cost: bytes + ENTRY_BYTES });
          while (sum() > 2000) listed.shift();
          expect([cache.size, cache.bytes]).toEqual([listed.length, sum()]);
        }
        for (const { key, value } of listed) expect(cache.get(key)).toBe(value);
      }),
    );
  });

  test("takes no more memory than it says, also while it evicts", () => {
    const maxBytes = 8 * 1024 * 1024;
    const cache = new LruCache<string, string>(maxBytes);
    const before = heapSize();
    for (let number = 0; number < 50_000; number++) {
      const [key, value] = [textOf(number, 50 + (number % 200)), textOf(number, 100)];
      cache.set(key, value, textBytes(key) + textBytes(value));
      if (number % 3 === 0) cache.get(key);
    }
    expect(cache.size).toBeGreaterThan(10_000);
    expect(heapSize() - before).toBeLessThan(1.25 * maxBytes); // the heap has room that nothing uses yet
  });
});

function heapSize(): number {
  Bun.gc(true);
  return heapStats().heapSize; // with what strings hold outside of it
}

/** One of its own, that shares its characters with no other. */
function textOf(number: number, length: number): string {
  return Buffer.from(`${number}-é€-`.padEnd(length, "x"), "utf16le").toString("utf16le");
}
