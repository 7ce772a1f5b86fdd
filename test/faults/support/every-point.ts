/** Tests that do the same again and again, with something happening one step later each time. */

/** How many go on at a time. */
const LANES = 3;

/** Calls `work` with 1, 2, 3 and so on, until it gives undefined: it has no such step. Gives all that it gave before. */
export async function everyPoint<Found>(work: (at: number) => Promise<Found | undefined>): Promise<readonly Found[]> {
  const all: Found[] = [];
  let next = 1;
  const lane = async (): Promise<void> => {
    for (;;) {
      const at = next++;
      const found = await work(at).catch((error: unknown) => {
        next = Infinity; // the others end too
        throw new Error(`step ${at}: ${String(error)}`, { cause: error });
      });
      if (found === undefined) return;
      all.push(found);
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  return all;
}
