/** The images of a generated trace. They come into being when they are first asked for. */
import type { Random } from "../../test/support/random.ts";
import { IMAGES } from "./popularity.ts";
import { BLOBS_PER_IMAGE, PULLED_BLOB_BYTES } from "./quantiles.ts";

export interface ImageBlob {
  readonly ref: string;
  readonly size: number;
}

export interface Image {
  readonly repo: string;
  readonly tag: string;
  readonly blobs: readonly ImageBlob[];
}

/** There were a quarter fewer digests than pairs of repository and digest. */
const SHARED_BLOBS = 0.25;

/** Estimated. */
const IMAGES_PER_REPOSITORY = 4;

const REPOSITORIES = IMAGES / IMAGES_PER_REPOSITORY;
const TEAMS = 40;

export class Images {
  readonly #random: Random;
  readonly #images = new Map<number, Image>();
  readonly #blobs: ImageBlob[] = [];

  constructor(random: Random) {
    this.#random = random;
  }

  /** The image with this number, as it is now. */
  get(number: number): Image {
    const known = this.#images.get(number);
    if (known) return known;
    const repository = number % REPOSITORIES;
    const image = {
      repo: `team-${repository % TEAMS}/app-${repository}`,
      tag: `v${Math.floor(number / REPOSITORIES)}`,
      blobs: this.#blobsOfImage(),
    };
    this.#images.set(number, image);
    return image;
  }

  /** From now on the tag points at an image whose last blobs are these. */
  push(number: number, fresh: readonly ImageBlob[]): void {
    const { blobs, ...image } = this.get(number);
    const kept = blobs.slice(0, Math.max(1, blobs.length - fresh.length));
    this.#images.set(number, { ...image, blobs: [...kept, ...fresh] });
  }

  /** A blob that no image has had. */
  makeBlob(): ImageBlob {
    const blob = { ref: `blob-${this.#blobs.length}`, size: PULLED_BLOB_BYTES.at(this.#random.next()) };
    this.#blobs.push(blob);
    return blob;
  }

  /** A blob of any image that is not one of these; undefined when none was found. */
  findOtherBlob(than: readonly ImageBlob[]): ImageBlob | undefined {
    const blob = this.#random.pick(this.#blobs);
    return blob && than.some(({ ref }) => ref === blob.ref) ? undefined : blob;
  }

  #blobsOfImage(): readonly ImageBlob[] {
    const blobs: ImageBlob[] = [];
    const count = BLOBS_PER_IMAGE.at(this.#random.next());
    while (blobs.length < count) {
      const shared = this.#random.chance(SHARED_BLOBS) ? this.findOtherBlob(blobs) : undefined;
      blobs.push(shared ?? this.makeBlob());
    }
    return blobs;
  }
}
