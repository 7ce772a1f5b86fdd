import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { collect } from "./collect.ts";
import { mergedPages } from "./merged-pages.ts";

async function* pagesOf(items: readonly string[], size: number): AsyncGenerator<readonly string[], void> {
  for (let at = 0; at < items.length; at += size) yield items.slice(at, at + size);
}

test("any lists, in pages of any sizes, are merged into one in the same order", async () => {
  const list = fc.record({
    keys: fc.uniqueArray(fc.string({ maxLength: 3 }), { maxLength: 30 }),
    size: fc.integer({ min: 1, max: 8 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(list, { maxLength: 5 }), async (given) => {
      const lists = given.map(({ keys, size }, at) => ({ keys: keys.map((key) => `${key}${at}`).toSorted(), size }));
      const pages = await collect(
        mergedPages(
          lists.map(({ keys, size }) => pagesOf(keys, size)),
          (key) => key,
        ),
      );
      expect(pages.flat()).toEqual(lists.flatMap(({ keys }) => keys).toSorted());
      expect(pages.every((page) => page.length > 0)).toBe(true);
    }),
  );
});
