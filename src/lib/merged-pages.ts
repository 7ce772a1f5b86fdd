/** Several lists in the same order as one. */

/**
 * Merges lists whose items have ascending keys, no key in two of them. Of each list one page is in memory. The pages that it
 * yields are not empty.
 */
export async function* mergedPages<Item>(
  lists: readonly AsyncGenerator<readonly Item[], void>[],
  keyOf: (item: Item) => string,
): AsyncGenerator<readonly Item[], void> {
  const open = new Map(lists.map((list): [typeof list, readonly Item[]] => [list, []]));
  for (;;) {
    for (const [list, page] of open) {
      if (page.length > 0) continue;
      const next = await list.next();
      if (next.done) open.delete(list);
      else open.set(list, next.value);
    }
    // Behind the last item of its page, a list may continue with anything greater.
    const known = [...open.values()].map((page) => page.at(-1)).filter((item) => item !== undefined);
    const first = known
      .map(keyOf)
      .reduce((least: string | undefined, key) => (least && least < key ? least : key), undefined);
    if (first === undefined) return;
    const merged: Item[] = [];
    for (const [list, page] of open) {
      const count = page.findIndex((item) => keyOf(item) > first);
      merged.push(...(count < 0 ? page : page.slice(0, count)));
      open.set(list, count < 0 ? [] : page.slice(count));
    }
    yield merged.toSorted((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
  }
}
