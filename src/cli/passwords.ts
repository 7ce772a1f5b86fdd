/** Passwords by Bun's own functions, which work on threads of their own. */
import type { Passwords } from "../auth/passwords.ts";

/** What OWASP's cheat sheet on storing passwords asks for: argon2id with its memory in KiB and its passes. */
const PARAMETERS = {
  argon2id: { algorithm: "argon2id", memoryCost: 19_456, timeCost: 2 },
  bcrypt: { algorithm: "bcrypt", cost: 10 },
} as const;

/** bcrypt hashes no more bytes. Bun would hash a longer password with SHA-512 first, as nobody does who makes htpasswd files. */
const BCRYPT_BYTES = 72;

export const bunPasswords: Passwords = {
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
