/** Passwords by Bun's own functions, which work on threads of their own. */
import { availableParallelism } from "node:os";
import type { Passwords } from "../auth/passwords.ts";

/** What OWASP's cheat sheet on storing passwords asks for: argon2id with its memory in KiB and its passes. */
const PARAMETERS = {
  argon2id: { algorithm: "argon2id", memoryCost: 19_456, timeCost: 2 },
  bcrypt: { algorithm: "bcrypt", cost: 10 },
} as const;

/** bcrypt hashes no more bytes. Bun would hash a longer password with SHA-512 first, which no tool for htpasswd files does. */
const BCRYPT_BYTES = 72;

/** Bun has a thread for each core, and two on one: files are read and synced on the same ones. */
const THREADS = Number(process.env["UV_THREADPOOL_SIZE"] ?? availableParallelism());

export const bunPasswords: Passwords = {
  maxConcurrent: Math.max(1, Math.min(THREADS || 1, availableParallelism()) - 1),
  hash: (password, algorithm = "argon2id") => Bun.password.hash(password, PARAMETERS[algorithm]),
  verify: async (password, hash) => {
    try {
      const bytes = Buffer.from(password);
      return await Bun.password.verify(hash.startsWith("$2") ? bytes.subarray(0, BCRYPT_BYTES) : bytes, hash);
    } catch (error) {
      if (String((error as { code?: unknown }).code).startsWith("PASSWORD_")) return false;
      throw error;
    }
  },
};
