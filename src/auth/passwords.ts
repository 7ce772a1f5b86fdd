/** The port for password hashing, and the maximum cost of hashes. The runtime's functions are passed in. */

export type HashAlgorithm = "argon2id" | "bcrypt";

/** Hashes and verifies beside the event loop, however long that takes. */
export interface Passwords {
  /**
   * How many hashes may be computed at once. It is less than the threads that compute them: otherwise files, which need the
   * same threads, would wait for them.
   */
  readonly maxConcurrent: number;
  /** A hash to store, with its parameters and salt in it; argon2id unless something else has to read it. */
  hash(password: string, algorithm?: HashAlgorithm): Promise<string>;
  /** Whether the password makes this hash; false for a hash that it does not understand. */
  verify(password: string, hash: string): Promise<boolean>;
}

/** What it takes to compute a hash. */
export interface HashCost {
  /** Hashes of the same algorithm and parameters take the same time, and have the same label. */
  readonly label: string;
  /** Whether the cost is acceptable for every login attempt. */
  readonly isAffordable: boolean;
}

/** About a second. */
const MAX_BCRYPT_COST = 14;

/** 128 MiB, in KiB. */
const MAX_ARGON2_MEMORY = 131_072;

/** KiB times passes: about a second. */
const MAX_ARGON2_WORK = 1_048_576;

/** For messages. */
export const AFFORDABLE_COSTS = "bcrypt up to cost 14, or argon2id up to 128 MiB and 1 GiB in all passes together";

/** The cost of a hash in the forms of bcrypt and argon2id; undefined for any other text. */
export function hashCost(hash: string): HashCost | undefined {
  const [, cost] = /^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$/.exec(hash) ?? [];
  if (cost !== undefined) return { label: `bcrypt ${cost}`, isAffordable: Number(cost) <= MAX_BCRYPT_COST };
  const [, memory, passes, lanes] =
    /^\$argon2id\$v=\d+\$m=(\d+),t=(\d+),p=(\d+)\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+$/.exec(hash) ?? [];
  if (memory === undefined) return undefined;
  return {
    label: `argon2id ${memory} ${passes} ${lanes}`,
    isAffordable: Number(memory) <= MAX_ARGON2_MEMORY && Number(memory) * Number(passes) <= MAX_ARGON2_WORK,
  };
}
