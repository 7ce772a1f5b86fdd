/** Passwords against hashes that other programs made. */
import { expect, test } from "bun:test";
import { bunPasswords } from "./passwords.ts";

test("a password of more than 72 bytes fits the hash that other programs make of it", async () => {
  // As crypt(3) makes it of "0123456789" nine times.
  const hash = "$2y$04$abcdefghijklmnopqrstuum2G75IXDN/xsgbNa/hCiPSKyIHQd70S";
  expect(await bunPasswords.verify("0123456789".repeat(9), hash)).toBeTrue();
  expect(await bunPasswords.verify("0123456789".repeat(7), hash)).toBeFalse();
  expect(await bunPasswords.verify("", hash)).toBeFalse();
});

test("a password of any length is its own where argon2id hashes it", async () => {
  const hash = await bunPasswords.hash(`${"é".repeat(100)}a`);
  expect(await bunPasswords.verify(`${"é".repeat(100)}a`, hash)).toBeTrue();
  expect(await bunPasswords.verify(`${"é".repeat(100)}b`, hash)).toBeFalse();
});
