/** The items of an asynchronous list that is known to be short. (`Array.fromAsync` is not in every runtime yet.) */
export async function collect<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const collected: Item[] = [];
  for await (const item of items) collected.push(item);
  return collected;
}
