/** The port for passwords: whoever puts the program together brings the functions that hash them. */

export type HashAlgorithm = "argon2id" | "bcrypt";

/** Hashes and verifies beside the event loop, however long that takes. */
export interface Passwords {
  /** A hash to store, with its parameters and salt in it; argon2id unless something else has to read it. */
  hash(password: string, algorithm?: HashAlgorithm): Promise<string>;
  /** Whether the password makes this hash; false for a hash that it does not understand. */
  verify(password: string, hash: string): Promise<boolean>;
}

/** Whether a hash is one of those that can be verified. */
export function isPasswordHash(text: string): boolean {
  return (
    /^\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}$/.test(text) ||
    /^\$argon2id\$v=\d+\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+$/.test(text)
  );
}
