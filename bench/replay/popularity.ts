/** Which images are asked for how often, as it was at IBM: a few all the time, most of them once. */
import type { Random } from "../../test/support/random.ts";

/** Manifests that were asked for. */
export const IMAGES = 12_988;

/** The hundredth of all images that is asked for most: their numbers are below this. */
export const POPULAR_IMAGES = Math.round(IMAGES / 100);

const PULLS_PER_IMAGE = 258_911 / 108_325;

/** Images in the order of their popularity: so many of all take so many of the pulls, each at least so often. */
const CLASSES = [
  { images: 0.01, pulls: 0.429, least: 3 },
  { images: 0.177, pulls: 0.231, least: 2 },
  { images: 0.813, pulls: 0.34, least: 1 },
];

/** How fast popularity falls with the rank: of pulled blobs, and of manifests. */
const SLOPE = { pulls: 0.75, polls: 1.27 };

/** For each image how often it was pulled. */
export function pullCounts(): readonly number[] {
  const counts: number[] = [];
  for (const { images, pulls, least } of CLASSES) {
    const ranks = Array.from({ length: Math.round(IMAGES * images) }, (_, at) => counts.length + at + 1);
    const weights = ranks.map((rank) => rank ** -SLOPE.pulls);
    const each = (IMAGES * PULLS_PER_IMAGE * pulls) / weights.reduce((sum, weight) => sum + weight, 0);
    counts.push(...weights.map((weight) => (least === 1 ? 1 : Math.max(least, Math.round(weight * each)))));
  }
  return counts;
}

/** Deals images to pull: each as often as it was pulled, in any order. When all are dealt it begins again. */
export class PullDeck {
  readonly #cards: Uint16Array;
  readonly #random: Random;
  #left = 0;

  constructor(random: Random) {
    this.#random = random;
    this.#cards = Uint16Array.from(pullCounts().flatMap((count, image) => Array.from({ length: count }, () => image)));
  }

  next(): number {
    if (this.#left === 0) this.#left = this.#cards.length;
    const at = this.#random.between(0, --this.#left);
    const [card, last] = [this.#cards[at]!, this.#cards[this.#left]!];
    this.#cards[at] = last;
    this.#cards[this.#left] = card;
    return card;
  }
}

/**
 * Chooses images that are asked about, again and again, by those who have them: popular ones alone. With the pulls they
 * make the most popular hundredth of the manifests take 85 % of what is asked for, as it was.
 */
export class Polls {
  readonly #random: Random;
  /** For each image the share of it and all before. */
  readonly #shares: readonly number[];

  constructor(random: Random) {
    this.#random = random;
    let sum = 0;
    const sums = Array.from({ length: POPULAR_IMAGES }, (_, at) => (sum += (at + 1) ** -SLOPE.polls));
    this.#shares = sums.map((each) => each / sum);
  }

  next(): number {
    const share = this.#random.next();
    return this.#shares.findIndex((each) => share < each);
  }
}
