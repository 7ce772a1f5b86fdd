/** Lists that are read page by page, from any place on. */
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Page } from "../metadata/page.ts";

export interface PageStart {
  /** Only what comes after it, by bytes; it need not exist. */
  readonly after?: string;
  /** At most so many; all when absent. */
  readonly limit?: number;
}

export const PAGE_SIZE = 1000;

/**
 * All items from a place on. At most one page is in memory; what is added or removed meanwhile may or may not show. Between
 * two pages other work gets its turn of the event loop.
 */
export async function* paged<Item>(
  from: PageStart,
  read: (page: Page) => Promise<readonly Item[]>,
  keyOf: (item: Item) => string,
): AsyncGenerator<Item> {
  let { after } = from;
  let left = from.limit ?? Infinity;
  while (left > 0) {
    const limit = Math.min(left, PAGE_SIZE);
    const page = await read(after === undefined ? { limit } : { after, limit });
    yield* page;
    const last = page.at(-1);
    if (last === undefined || page.length < limit) return;
    after = keyOf(last);
    left -= page.length;
    await nextTurn();
  }
}
