/** Lists that are read page by page, from any place on. */
import type { Page } from "../metadata/metadata-store.ts";

export interface PageStart<Key extends string> {
  /** Only what comes after it, by bytes; it need not exist. */
  readonly after?: Key;
  /** At most so many; all when absent. */
  readonly limit?: number;
}

const PAGE_SIZE = 1000;

/** All items from a place on. At most one page is in memory; what is added or removed meanwhile may or may not show. */
export async function* paged<Key extends string, Item>(
  from: PageStart<Key>,
  read: (page: Page<Key>) => Promise<readonly Item[]>,
  keyOf: (item: Item) => Key,
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
  }
}
