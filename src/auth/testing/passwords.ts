/** Passwords as the program has them, with parameters that cost a test no time. */
import type { Passwords } from "../passwords.ts";

/** Counts what it is asked, for tests of what is computed and what is cached. */
export class CountingPasswords implements Passwords {
  readonly maxConcurrent: number;
  verified: { password: string; hash: string }[] = [];

  /** How many were computed at the same time, at most. */
  mostConcurrent = 0;
  #running = 0;

  constructor(maxConcurrent: number = 4) {
    this.maxConcurrent = maxConcurrent;
  }

  hash(password: string, algorithm: "argon2id" | "bcrypt" = "argon2id"): Promise<string> {
    return hashOf(password, algorithm);
  }

  async verify(password: string, hash: string): Promise<boolean> {
    this.verified.push({ password, hash });
    this.mostConcurrent = Math.max(this.mostConcurrent, ++this.#running);
    try {
      return await Bun.password.verify(password, hash);
    } finally {
      this.#running--;
    }
  }
}

export function hashOf(password: string, algorithm: "argon2id" | "bcrypt" = "argon2id"): Promise<string> {
  return Bun.password.hash(
    password,
    algorithm === "bcrypt" ? { algorithm, cost: 4 } : { algorithm, memoryCost: 8, timeCost: 1 },
  );
}
