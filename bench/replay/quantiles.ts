/** Distributions that are known by a few of their quantiles. */

/** A share of all, and what so many are not above; both go up. */
type Quantile = readonly [share: number, value: number];

export class Quantiles {
  readonly #table: readonly Quantile[];
  readonly #scale: "linear" | "logarithmic";

  /** The first share is 0 and the last 1. */
  constructor(table: readonly Quantile[], scale: "linear" | "logarithmic") {
    this.#table = table;
    this.#scale = scale;
  }

  /** The value that this share of all is not above, a whole number; on a line between the quantiles that are known. */
  at(share: number): number {
    const above = Math.max(
      1,
      this.#table.findIndex(([known]) => known >= share),
    );
    const [[fromShare, from], [toShare, to]] = [this.#table[above - 1]!, this.#table[above]!];
    const part = (share - fromShare) / (toShare - fromShare);
    if (this.#scale === "linear") return Math.round(from + (to - from) * part);
    return Math.round(from * (to / from) ** part);
  }

  mean(): number {
    const steps = 10_000;
    let sum = 0;
    for (let step = 0; step < steps; step++) sum += this.at((step + 0.5) / steps);
    return sum / steps;
  }
}

/** Sizes of the blobs that were pulled from IBM's registry: 999 GETs, and above the last thousandth all of them. */
export const PULLED_BLOB_BYTES = new Quantiles(
  [
    [0, 32],
    [0.1, 181],
    [0.25, 1100],
    [0.5, 11_500],
    [0.65, 645_000],
    [0.75, 3_300_000],
    [0.8, 9_400_000],
    [0.9, 35_000_000],
    [0.95, 54_000_000],
    [0.99, 118_000_000],
    [0.999, 690_000_000],
    [0.9995, 2 ** 30],
    [1, 2 ** 31],
  ],
  "logarithmic",
);

/**
 * Blobs that belong to an image. On Docker Hub half of the images have fewer than 8 layers and nine of ten fewer than 18;
 * at IBM there were 8.3 blobs for each manifest.
 */
export const BLOBS_PER_IMAGE = new Quantiles(
  [
    [0, 1],
    [0.5, 6.5],
    [0.9, 15],
    [1, 30],
  ],
  "linear",
);
