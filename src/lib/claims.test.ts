/** One holder of a key at a time, without waiting. */
import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { Claims } from "./claims.ts";

describe("a claim", () => {
  test("is refused while another one is held, and given again when that has ended", () => {
    const claims = new Claims();
    const first = claims.claim("a");
    expect(first).toBeDefined();
    expect(claims.claim("a")).toBeUndefined();
    expect(claims.claim("a")).toBeUndefined();
    first?.[Symbol.dispose]();
    expect(claims.claim("a")).toBeDefined();
  });

  test("holds one key and no other", () => {
    const claims = new Claims();
    expect(claims.claim("a")).toBeDefined();
    for (const key of ["b", "", "A", "a ", "__proto__"]) expect(claims.claim(key)).toBeDefined();
  });

  test("lasts as long as its block, also when that is left by an error", () => {
    const claims = new Claims();
    const work = (): void => {
      using claim = claims.claim("a");
      expect(claim).toBeDefined();
      expect(claims.claim("a")).toBeUndefined();
      throw new Error("out");
    };
    expect(work).toThrow("out");
    expect(work).toThrow("out");
  });

  test("that was refused ends without harm to the one that holds", () => {
    const claims = new Claims();
    expect(claims.claim("a")).toBeDefined();
    {
      using refused = claims.claim("a");
      expect(refused).toBeUndefined();
    }
    expect(claims.claim("a")).toBeUndefined();
  });

  test("is held by one at a time, whatever the order of claims and ends", () => {
    const step = fc.record({ key: fc.constantFrom("a", "b", "c"), end: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const claims = new Claims();
        const held = new Map<string, Disposable>();
        for (const { key, end } of steps) {
          if (end) {
            held.get(key)?.[Symbol.dispose]();
            held.delete(key);
          } else {
            const claim = claims.claim(key);
            expect(claim === undefined).toBe(held.has(key));
            if (claim) held.set(key, claim);
          }
        }
      }),
    );
  });
});
