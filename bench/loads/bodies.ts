/** What is pushed: bodies and digests, made before the clock runs. No two are the same. */
import { createHash, randomFillSync } from "node:crypto";
import { descriptorOf, digestOf, imageManifest, OCI_CONFIG, OCI_LAYER } from "../../test/support/content.ts";

export interface Body {
  readonly digest: string;
  readonly pieces: readonly Uint8Array[];
  readonly size: number;
}

export interface SmallImage {
  readonly layer: Body;
  readonly config: Body;
  readonly manifest: Buffer;
}

/** About the median of the layers that are pulled from a big registry. */
const SMALL_LAYER_BYTES = 11_500;

export function smallImages(count: number): readonly SmallImage[] {
  return Array.from({ length: count }, () => {
    const layer = randomFillSync(Buffer.allocUnsafe(SMALL_LAYER_BYTES));
    const config = `{"architecture":"amd64","created":"${crypto.randomUUID()}"}`;
    const manifest = imageManifest(descriptorOf(OCI_CONFIG, config), [descriptorOf(OCI_LAYER, layer)]);
    return { layer: bodyOf(layer), config: bodyOf(Buffer.from(config)), manifest: Buffer.from(manifest) };
  });
}

/** Blobs of one big size. They share all but their last bytes, so that many need neither memory nor time to hash. */
export class BigBodies {
  readonly #pieces: readonly Uint8Array[];
  readonly #hash = createHash("sha256");
  readonly #size: number;

  /** `size` is a multiple of a MiB. */
  constructor(size: number) {
    this.#size = size;
    const piece = randomFillSync(Buffer.allocUnsafe(PIECE_BYTES));
    this.#pieces = Array.from({ length: size / PIECE_BYTES - 1 }, () => piece);
    for (const each of this.#pieces) this.#hash.update(each);
  }

  next(): Body {
    const last = randomFillSync(Buffer.allocUnsafe(PIECE_BYTES));
    const digest = `sha256:${this.#hash.copy().update(last).digest("hex")}`;
    return { digest, pieces: [...this.#pieces, last], size: this.#size };
  }
}

const PIECE_BYTES = 2 ** 20;

function bodyOf(bytes: Buffer): Body {
  return { digest: digestOf(bytes), pieces: [bytes], size: bytes.length };
}
