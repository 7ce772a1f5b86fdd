/** `n` and `last`: distribution-spec, "Listing Tags". */
import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { OciError } from "../../oci/error.ts";
import { pageParameters } from "./page-parameters.ts";
import type { PageParameters } from "./page-parameters.ts";

function read(query: string, maxLimit = 1000): PageParameters {
  return pageParameters(new URLSearchParams(query), maxLimit);
}

describe("n", () => {
  const good: readonly (readonly [query: string, limit: number | undefined])[] = [
    ["", undefined],
    ["last=a", undefined],
    ["n=", undefined],
    ["n", undefined],
    ["N=5", undefined],
    ["n=0", 0],
    ["n=1", 1],
    ["n=007", 7],
    ["n=1000", 1000],
    ["n=1001", 1000],
    ["n=9999999999", 1000],
  ];
  for (const [query, limit] of good) {
    test(`of ?${query} means ${limit ?? "all"}`, () => {
      expect(read(query).limit).toBe(limit);
    });
  }

  const bad = [
    "n=abc",
    "n=-1",
    "n=-0",
    "n=%2B1",
    "n=+1",
    "n=1e9",
    "n=1.0",
    "n=0x10",
    "n=%201",
    "n=1%20",
    "n=1%0A",
    "n=%D9%A1",
    "n=null",
  ];
  for (const query of [...bad, "n=10000000000", `n=${"9".repeat(400)}`, "n=1&n=1", "n=1&n=2", "n=&n="]) {
    test(`of ?${query.slice(0, 24)} is refused with PAGINATION_NUMBER_INVALID`, () => {
      expect(() => read(query)).toThrow(expect.objectContaining({ code: "PAGINATION_NUMBER_INVALID", status: 400 }));
    });
  }

  test("is repeated in its refusal, but not without end", () => {
    expect(() => read("n=a&n=b")).toThrow(expect.objectContaining({ details: [{ n: "a,b" }] }));
    expect(() => read(`n=${"x".repeat(1000)}`)).toThrow(expect.objectContaining({ details: [{ n: "x".repeat(128) }] }));
  });

  test("is never more than the server's limit", () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(), (n, maxLimit) => {
        expect(read(`n=${n}`, maxLimit).limit).toBe(Math.min(n, maxLimit));
      }),
    );
  });
});

describe("last", () => {
  const cases: readonly (readonly [query: string, after: string | undefined])[] = [
    ["", undefined],
    ["n=1", undefined],
    ["last=", ""],
    ["last=v1.0", "v1.0"],
    ["last=a%2Fb", "a/b"],
    ["last=not%20a%20tag", "not a tag"],
    ["last=a&last=b", "b"],
    ["last=a&last=", ""],
  ];
  for (const [query, after] of cases) {
    test(`of ?${query} is ${JSON.stringify(after)}`, () => {
      expect(read(query).after).toBe(after);
    });
  }

  test("is cut where no name or tag could be as long", () => {
    expect(read(`last=${"a".repeat(100_000)}`).after).toBe("a".repeat(512));
  });
});

describe("a query", () => {
  test("is read, or refused for its n, whatever it is", () => {
    const pair = fc.tuple(fc.constantFrom("n", "last", "x"), fc.oneof(fc.string(), fc.nat().map(String)));
    fc.assert(
      fc.property(fc.array(pair), (pairs) => {
        try {
          const { limit = 0 } = pageParameters(new URLSearchParams(pairs), 100);
          expect(limit).toBeWithin(0, 101);
        } catch (error) {
          expect(error).toBeInstanceOf(OciError);
          expect(error).toMatchObject({ code: "PAGINATION_NUMBER_INVALID" });
        }
      }),
    );
  });
});
