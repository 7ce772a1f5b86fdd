/** Looks for the highest speed that a registry sustains. */

export interface SearchOptions {
  /** The speed to begin with. */
  readonly first: number;
  /** Speeds tried between the last good one and the first bad one. */
  readonly bisections: number;
  readonly lowest: number;
  readonly highest: number;
}

/**
 * Doubles the speed until it is too much, or halves it until it is not, and then bisects. A speed is too much when it fails
 * twice: once may have been the machine. Gives the highest speed that did not fail; undefined when there was none.
 */
export async function findSustained(
  isSustained: (speed: number) => Promise<boolean>,
  { first, bisections, lowest, highest }: SearchOptions,
): Promise<number | undefined> {
  const isGood = async (speed: number): Promise<boolean> => (await isSustained(speed)) || (await isSustained(speed));
  let good: number | undefined;
  let bad: number | undefined;
  for (let speed = first; speed >= lowest && speed <= highest; speed = good === undefined ? speed / 2 : speed * 2) {
    if (await isGood(speed)) good = speed;
    else bad = speed;
    if (good !== undefined && bad !== undefined) break;
  }
  if (good === undefined || bad === undefined) return good;
  let between: readonly [good: number, bad: number] = [good, bad];
  for (let tried = 0; tried < bisections; tried++) {
    const speed: number = (between[0] + between[1]) / 2;
    between = (await isGood(speed)) ? [speed, between[1]] : [between[0], speed];
  }
  return between[0];
}
