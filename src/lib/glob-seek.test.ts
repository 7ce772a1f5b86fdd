import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { globSeek, seekAny } from "./glob-seek.ts";
import { glob } from "./glob.ts";

/** What names of repositories consist of, in byte order. */
const ALPHABET = "-./0123456789_abcdefghijklmnopqrstuvwxyz";

const CASES: readonly (readonly [pattern: string, text: string, found: string | undefined])[] = [
  ["team/**", "", "team/-"],
  ["team/**", "team", "team/-"],
  ["team/**", "team/app", "team/app"],
  ["team/**", "team-b", "team/-"],
  ["team/**", "team0", undefined],
  ["team/**", "zebra", undefined],
  ["team/app", "", "team/app"],
  ["team/app", "team/aaa", "team/app"],
  ["team/app", "team/app", "team/app"],
  ["team/app", "team/app/x", undefined],
  ["*/public", "alice/private", "alice/public"],
  ["*/public", "alice/public", "alice/public"],
  ["team/*", "team/a/b", "team/a0"],
  ["*", "alice/app", "alice0"],
  ["**", "alice/app", "alice/app"],
];

describe("the first place where a name can stand that matches", () => {
  for (const [pattern, text, found] of CASES) {
    test(`${pattern}, from "${text}" on, is ${found}`, () => expect(globSeek(pattern, ALPHABET)(text)).toBe(found));
  }
});

const name = fc.string({ unit: fc.constantFrom("-", "/", "a", "b", "c"), minLength: 1, maxLength: 8 });
const pattern = fc.string({ unit: fc.constantFrom("/", "a", "b", "c", "*", "*", "**"), minLength: 1, maxLength: 8 });

test("no name that matches is skipped, and a place that is given is not before where it was asked from", () => {
  fc.assert(
    fc.property(
      fc.array(pattern, { minLength: 1, maxLength: 3 }),
      fc.array(name, { maxLength: 30 }),
      name,
      (patterns, names, from) => {
        const found = seekAny(patterns.map((each) => globSeek(each, ALPHABET)))(from);
        const matching = names.filter((each) => each >= from && patterns.some((one) => glob(one)(each))).toSorted();
        if (matching[0] !== undefined) expect(found !== undefined && found <= matching[0]).toBe(true);
        if (found !== undefined) expect(found >= from).toBe(true);
      },
    ),
    { numRuns: 3000 },
  );
});

test("a name that does not match is never given as a place", () => {
  fc.assert(
    fc.property(pattern, name, (each, from) => {
      if (!glob(each)(from)) expect(globSeek(each, ALPHABET)(from)).not.toBe(from);
    }),
    { numRuns: 3000 },
  );
});

test("a long pattern with many stars takes no time worth mentioning", () => {
  const seek = globSeek("*-*-*-*-*-*-*-*-*-*/x", ALPHABET);
  expect(seek("a-".repeat(120))).toStartWith("a-".repeat(120));
  expect(seek(`${"a-".repeat(100)}/y`)).toBeDefined();
});
