/** Lists that are read page by page. */
import { expect, test } from "bun:test";
import * as fc from "fast-check";
import type { Page } from "../metadata/page.ts";
import { paged } from "./pages.ts";

/** A list of so many items, which says what it was asked for. */
function listOf(size: number) {
  const items = Array.from({ length: size }, (_, at) => String(at).padStart(6, "0"));
  const asked: Page[] = [];
  const read = async (page: Page): Promise<readonly string[]> => {
    asked.push(page);
    if (asked.length > size / 1000 + 2) throw new Error("the list is read on and on");
    return items.filter((item) => page.after === undefined || item > page.after).slice(0, page.limit);
  };
  return { items, asked, read };
}

test("any list from any place gives what comes after it, up to the limit", async () => {
  const position = fc.option(fc.integer({ min: 0, max: 3100 }), { nil: undefined });
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: 3100 }), position, position, async (size, from, limit) => {
      const { items, read, asked } = listOf(size);
      const after = from === undefined ? undefined : String(from).padStart(6, "0");
      const start = { ...(after === undefined ? {} : { after }), ...(limit === undefined ? {} : { limit }) };
      const expected = items.filter((item) => after === undefined || item > after).slice(0, limit);
      expect(await Array.fromAsync(paged(start, read, (item) => item))).toEqual(expected);
      for (const page of asked) expect(page.limit).toBeLessThanOrEqual(1000);
    }),
    { numRuns: 50 },
  );
});

test("a page is read only when it is wanted, and none when nothing is", async () => {
  const { read, asked } = listOf(2500);
  const reader = paged({}, read, (item) => item);
  expect(asked).toEqual([]);
  for (let at = 0; at < 1000; at++) await reader.next();
  expect(asked).toHaveLength(1);
  await reader.next();
  expect(asked).toHaveLength(2);
  expect(asked[1]).toMatchObject({ after: "000999" });
  await reader.return(undefined);
  expect(await Array.fromAsync(paged({ limit: 0 }, read, (item) => item))).toEqual([]);
  expect(asked).toHaveLength(2);
});

test("lists that are read at once read one page in each turn of the event loop, all together", async () => {
  let isDone = false;
  const inTurn: number[] = [0];
  const beginTurn = (): void => {
    inTurn.push(0);
    if (!isDone) setImmediate(beginTurn);
  };
  setImmediate(beginTurn);
  const lists = Array.from({ length: 8 }, () => listOf(5000));
  const readAll = lists.map(async ({ read }) => {
    const counted = (page: Page): Promise<readonly string[]> => {
      inTurn[inTurn.length - 1]!++;
      return read(page);
    };
    expect(await Array.fromAsync(paged({}, counted, (item) => item))).toHaveLength(5000);
  });
  await Promise.all(readAll);
  isDone = true;
  expect(Math.max(...inTurn)).toBe(1);
  expect(inTurn.filter((pages) => pages > 0)).toHaveLength(48); // with the empty page at the end of each
});
