/** Signatures, attestations and SBOMs of a manifest, and what refers to those in turn. */
import type { LocalDescriptor } from "../../oci/descriptor.ts";
import type { Digest } from "../../oci/digest.ts";
import type { ReferrersService } from "../referrers.ts";

export interface Referrer {
  readonly descriptor: LocalDescriptor;
  readonly referrers: readonly Referrer[];
}

export interface ReferrerTree {
  readonly referrers: readonly Referrer[];
  /** False when there are more, or deeper ones, than are shown. */
  readonly isComplete: boolean;
}

/** Referrers of all levels together, levels, and bytes of their descriptors on each. */
const [MAX_REFERRERS, MAX_DEPTH, MAX_BYTES] = [500, 4, 512 * 1024];

/** Returns the tree below a manifest. */
export async function referrerTree(service: ReferrersService, subject: Digest): Promise<ReferrerTree> {
  let [left, isComplete] = [MAX_REFERRERS, true];
  const below = async (of: Digest, depth: number): Promise<readonly Referrer[]> => {
    const { referrers, more } = await service.page(of, {}, MAX_BYTES);
    const shown = depth < MAX_DEPTH ? referrers.slice(0, left) : [];
    if (more || shown.length < referrers.length) isComplete = false;
    left -= shown.length;
    const found: Referrer[] = [];
    for (const descriptor of shown) {
      found.push({ descriptor, referrers: left > 0 ? await below(descriptor.digest, depth + 1) : [] });
    }
    return found;
  };
  const referrers = await below(subject, 0);
  return { referrers, isComplete };
}
