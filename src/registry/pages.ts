/** Lists that are read page by page, from any place on. */
import { TurnBudget } from "../lib/turn-budget.ts";
import type { Page } from "../metadata/page.ts";

export interface PageStart {
  /** Only what comes after it, by bytes; it need not exist. */
  readonly after?: string;
  /** At most so many; all when absent. */
  readonly limit?: number;
}

export const PAGE_SIZE = 1000;

/** What a statement costs beside its rows, in rows. */
export const STATEMENT_COST = 64;

/** Rows that all lists of this process read in one turn of the event loop: other requests get theirs in between. */
export const listTurns = new TurnBudget(STATEMENT_COST + PAGE_SIZE);

export interface PageOptions {
  /** Items of a page at most. */
  readonly size?: number;
  /** Items of the next page at most, where that depends on those before. */
  readonly nextSize?: () => number;
  /** What an item costs to read: 1 where they stand next to each other in the database. */
  readonly rowCost?: number;
}

/** As `pagesOf`, item by item. */
export async function* paged<Item>(
  from: PageStart,
  read: (page: Page) => Promise<readonly Item[]>,
  keyOf: (item: Item) => string,
): AsyncGenerator<Item> {
  for await (const page of pagesOf(from, read, keyOf)) yield* page;
}

/**
 * All items from a place on, in pages that are not empty. At most one page is in memory; what is added or removed meanwhile may
 * or may not show. A page is read when it is asked for, in a turn of the event loop that has room for it.
 */
export async function* pagesOf<Item>(
  from: PageStart,
  read: (page: Page) => Promise<readonly Item[]>,
  keyOf: (item: Item) => string,
  { size = PAGE_SIZE, nextSize = () => size, rowCost = 1 }: PageOptions = {},
): AsyncGenerator<readonly Item[], void> {
  let { after } = from;
  let left = from.limit ?? Infinity;
  while (left > 0) {
    const limit = Math.min(left, nextSize());
    await listTurns.take(STATEMENT_COST + limit * rowCost);
    const page = await read(after === undefined ? { limit } : { after, limit });
    const last = page.at(-1);
    if (last === undefined) return;
    yield page;
    if (page.length < limit) return;
    after = keyOf(last);
    left -= page.length;
  }
}
