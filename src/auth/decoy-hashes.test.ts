/** What is computed for unknown user names. */
import { describe, expect, test } from "bun:test";
import { DUMMY_HASH, decoyFor } from "./decoy-hashes.ts";
import type { HashClass } from "./decoy-hashes.ts";
import { hashCost } from "./passwords.ts";

const SECRET = Buffer.alloc(32, 7);
const NAMES = Array.from({ length: 3000 }, (_, number) => `unknown-${number}`);

function hashes(counts: Readonly<Record<string, number>>): readonly HashClass[] {
  return Object.entries(counts).map(([label, count]) => ({ label, hash: `hash of ${label}`, count }));
}

function chosen(classes: readonly HashClass[], secret: Uint8Array = SECRET): readonly string[] {
  return NAMES.map((name) => decoyFor(name, classes, secret));
}

function share(of: readonly string[], label: string): number {
  return of.filter((hash) => hash === `hash of ${label}`).length / of.length;
}

describe("the hash that is computed for an unknown name", () => {
  test("is as costly among names as those of users are among users", () => {
    const decoys = chosen(hashes({ a: 70, b: 20, c: 10 }));
    expect(share(decoys, "a")).toBeCloseTo(0.7, 1);
    expect(share(decoys, "b")).toBeCloseTo(0.2, 1);
    expect(share(decoys, "c")).toBeCloseTo(0.1, 1);
  });

  test("is the same in every process that knows the secret, and another one for another secret", () => {
    const classes = hashes({ a: 1, b: 1 });
    expect(chosen(classes)).toEqual(chosen(classes.toReversed()));
    const others = chosen(classes, Buffer.alloc(32, 8));
    const changed = chosen(classes).filter((hash, at) => hash !== others[at]).length / NAMES.length;
    expect(changed).toBeCloseTo(0.5, 1);
  });

  test("stays when users come and go, but for as many names as they weigh", () => {
    const before = chosen(hashes({ a: 50, b: 49 }));
    for (const after of [hashes({ a: 50, b: 50 }), hashes({ a: 50, b: 49, c: 1 }), hashes({ a: 51, b: 49 })]) {
      const changed = chosen(after).filter((hash, at) => hash !== before[at]).length / NAMES.length;
      expect(changed).toBeLessThan(0.05);
    }
  });

  test("is one of a good cost where there is no user", () => {
    expect(decoyFor("anybody", [], SECRET)).toBe(DUMMY_HASH);
    expect(hashCost(DUMMY_HASH)?.isAffordable).toBeTrue();
  });
});
