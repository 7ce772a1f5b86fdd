import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { collect } from "../../lib/collect.ts";
import { jsonList } from "./json-list.ts";

async function* each<Item>(items: readonly Item[]): AsyncGenerator<Item> {
  yield* items;
}

test("any pages make the document of all their items", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.array(fc.jsonValue(), { maxLength: 5 }), { maxLength: 6 }), async (pages) => {
      const pieces = await collect(jsonList('{"a":[', each(pages), "]}"));
      expect(pieces).toHaveLength(1);
      expect(pieces.join("")).toBe(JSON.stringify({ a: pages.flat() }));
    }),
  );
});

test("a long list is made in pieces, and a page is read only when its piece is asked for", async () => {
  const page = Array.from({ length: 1000 }, (_, at) => "x".repeat(100) + at);
  let read = 0;
  async function* pages(): AsyncGenerator<readonly string[]> {
    for (; read < 50; read++) yield page;
  }
  const pieces = jsonList("[", pages(), "]");
  const first = await pieces.next();
  expect(first.value?.length).toBeWithin(256 * 1024, 400 * 1024);
  expect(read).toBeLessThan(4);
  const second = await pieces.next();
  expect(second.value?.length).toBeLessThan(150 * 1024);
  expect(read).toBeLessThan(5);
  const rest = await collect(pieces);
  const all = [first.value!, second.value!, ...rest].join("");
  expect(JSON.parse(all)).toHaveLength(50_000);
});
