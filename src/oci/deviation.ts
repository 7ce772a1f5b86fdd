/**
 * Deviations: where a manifest departs from the image-spec in a way that tools of today write and other registries take.
 * Such a manifest is stored as it came, because images must be copyable, and its sender is warned.
 */
import { invalidManifest } from "./invalid-manifest.ts";

export interface Deviation {
  /** Where in the document it is, such as `layers[2].size`. */
  readonly path: string;
  /** What should stand there, in words that follow the path. */
  readonly reason: string;
}

/** What becomes of a deviation that a reader comes to: it is collected, ignored, or refused. */
export type OnDeviation = (path: string, reason: string) => void;

/** For manifests that were accepted before. */
export const ignoreDeviations: OnDeviation = () => {};

/** Throws `MANIFEST_INVALID`: each deviation is an error. */
export const refuseDeviations: OnDeviation = (path, reason) => {
  throw invalidManifest(path, reason);
};

/** The maximum number of recorded deviations of a manifest, which can have a hundred thousand. */
const MAX_LISTED = 8;

/** The deviations of one manifest: the first few in words, and how many there are. */
export class Deviations {
  readonly #listed: Deviation[] = [];
  #count = 0;

  /** The first ones, in the order in which they were found. */
  get listed(): readonly Deviation[] {
    return this.#listed;
  }

  /** All of them. */
  get count(): number {
    return this.#count;
  }

  readonly add: OnDeviation = (path, reason) => {
    if (this.#count++ < MAX_LISTED) this.#listed.push({ path, reason });
  };
}
