/** What hashes cost. */
import { expect, test } from "bun:test";
import { hashCost } from "./passwords.ts";

const BCRYPT = `$${"./Aa0".repeat(11).slice(0, 53)}`;
const ARGON2 = "$c2FsdHNhbHQ$aGFzaGhhc2g";

for (const [hash, label, isAffordable] of [
  [`$2y$10${BCRYPT}`, "bcrypt 10", true],
  [`$2b$14${BCRYPT}`, "bcrypt 14", true],
  [`$2a$15${BCRYPT}`, "bcrypt 15", false],
  [`$2y$31${BCRYPT}`, "bcrypt 31", false],
  [`$2y$99${BCRYPT}`, "bcrypt 99", false],
  [`$argon2id$v=19$m=19456,t=2,p=1${ARGON2}`, "argon2id 19456 2 1", true],
  [`$argon2id$v=19$m=65536,t=4,p=4${ARGON2}`, "argon2id 65536 4 4", true],
  [`$argon2id$v=19$m=131072,t=8,p=1${ARGON2}`, "argon2id 131072 8 1", true],
  [`$argon2id$v=19$m=131072,t=9,p=1${ARGON2}`, "argon2id 131072 9 1", false],
  [`$argon2id$v=19$m=1048576,t=1,p=1${ARGON2}`, "argon2id 1048576 1 1", false],
  [`$argon2id$v=19$m=8,t=4000000000,p=1${ARGON2}`, "argon2id 8 4000000000 1", false],
  [`$argon2id$v=19$m=${"9".repeat(400)},t=0,p=1${ARGON2}`, `argon2id ${"9".repeat(400)} 0 1`, false],
] as const) {
  test(`${hash.slice(0, 40)} may${isAffordable ? "" : " not"} be computed at a login`, () => {
    expect(hashCost(hash)).toEqual({ label, isAffordable });
  });
}

test("no other text is a hash whose cost is known", () => {
  const others = ["", "password", "$1$salt$hash", `$2y$1${BCRYPT}`, `$2x$10${BCRYPT}`, `$2y$10${BCRYPT}a`];
  for (const text of [...others, `$argon2i$v=19$m=8,t=1,p=1${ARGON2}`, `$argon2id$v=19$m=-8,t=1,p=1${ARGON2}`]) {
    expect(hashCost(text)).toBeUndefined();
  }
});
