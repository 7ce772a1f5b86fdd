/** Hashes computed for unknown user names, so that timing does not reveal which users exist. */
import { createHmac } from "node:crypto";

/** Hashes of the same cost. */
export interface HashClass {
  /** One of them. */
  readonly hash: string;
  readonly label: string;
  /** How many users have such a hash. */
  readonly count: number;
}

/** A hash of a random password, with the parameters of new hashes. */
export const DUMMY_HASH =
  "$argon2id$v=19$m=19456,t=2,p=1$1sZBBuVOPXlgUUcMA5s91ux2UElcIRvGKtR7TS10QdQ$kNwY9/2cD1kHomDFWwp/tIL7SnRVe2+Ws6aFcn8HYkE";

/**
 * The hash to compute for an unknown name: always of the same cost for the same name, in every process that knows `secret`,
 * and among all names as costly as the hashes of users are among users. When a class comes or goes, other names keep theirs
 * ("weighted rendezvous hashing").
 */
export function decoyFor(name: string, classes: readonly HashClass[], secret: Uint8Array): string {
  let chosen: { readonly hash: string; readonly score: number } | undefined;
  for (const { hash, label, count } of classes) {
    const number = createHmac("sha256", secret).update(`${label}\n${name}`).digest().readUIntBE(0, 6);
    const score = -count / Math.log((number + 1) / (2 ** 48 + 1));
    if (!chosen || score > chosen.score) chosen = { hash, score };
  }
  return chosen?.hash ?? DUMMY_HASH;
}
