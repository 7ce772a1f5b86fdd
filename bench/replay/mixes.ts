/** How often clients do what. */
import type { Op } from "./trace.ts";

export interface Mix {
  /** Requests in a hundred; an upload is three of them. */
  readonly shares: Readonly<Record<Op, number>>;
  /** So many of the GETs of manifests are by digest. */
  readonly byDigest: number;
}

export const MIXES = {
  /**
   * IBM's registry in 2017: methods, and the parts of GET, were counted. Estimated are the parts of HEAD, and those of the
   * methods that push: 201 was answered 0.8 % more often than PUT was asked, which are mounts; and what of PUT is not the
   * end of an upload is a manifest.
   */
  ibm: {
    shares: {
      ping: 34,
      token: 0,
      "head-manifest": 3,
      "get-manifest": 14,
      "head-blob": 8,
      "get-blob": 31,
      upload: 6.1,
      mount: 0.8,
      "put-manifest": 3.1,
      tags: 0,
      referrers: 0,
    },
    byDigest: 0.1,
  },
  /** What clients of today do, which ask with HEAD by tag and then with GET by digest. Assumed, not counted. */
  modern: {
    shares: {
      ping: 3,
      token: 8,
      "head-manifest": 40,
      "get-manifest": 16,
      "head-blob": 3,
      "get-blob": 26,
      upload: 1.8,
      mount: 0.2,
      "put-manifest": 1,
      tags: 0.5,
      referrers: 0.5,
    },
    byDigest: 0.8,
  },
} as const satisfies Readonly<Record<string, Mix>>;

export function mixOf(name: string): Mix {
  if (!(name in MIXES)) throw new Error(`There is no mix ${name}: choose from ${Object.keys(MIXES).join(", ")}`);
  return MIXES[name as keyof typeof MIXES];
}
