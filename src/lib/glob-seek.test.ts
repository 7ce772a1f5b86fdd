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
    test(`${pattern}, from "${text}" on, is ${found}`, () =>
      expect(globSeek(pattern, ALPHABET)(text)?.from).toBe(found));
  }
});

const ENDS: readonly (readonly [pattern: string, until: string | undefined])[] = [
  ["team/**", "team0"],
  ["team/*/app", "team0"],
  ["team/app*", "team/apq"],
  ["team/app", "team/app-"],
  ["z*", "{"],
  ["*/public", undefined],
  ["**", undefined],
];

describe("the end of the range in which all names stand that match", () => {
  for (const [pattern, until] of ENDS) {
    test(`of ${pattern} is ${until}`, () => expect(globSeek(pattern, ALPHABET)("")?.until).toBe(until));
  }
});

const name = fc.string({ unit: fc.constantFrom("-", "/", "a", "b", "c"), minLength: 1, maxLength: 8 });
const pattern = fc.string({ unit: fc.constantFrom("/", "a", "b", "c", "*", "*", "**"), minLength: 1, maxLength: 8 });

test("the ranges of any patterns have all names that match, and each begins where it was asked from or later", () => {
  fc.assert(
    fc.property(
      fc.array(pattern, { maxLength: 3 }),
      fc.array(name, { maxLength: 30 }),
      name,
      (patterns, names, start) => {
        const seek = seekAny(patterns.map((each) => globSeek(each, ALPHABET)));
        const isIn = new Set<string>();
        for (let from: string | undefined = start; from !== undefined;) {
          const range = seek(from);
          if (!range) break;
          expect(range.from >= from).toBe(true);
          if (range.until !== undefined) expect(range.until > range.from).toBe(true);
          for (const each of names) {
            if (each >= range.from && (range.until === undefined || each < range.until)) isIn.add(each);
          }
          from = range.until;
        }
        const matching = names.filter((each) => each >= start && patterns.some((one) => glob(one)(each)));
        expect(matching.filter((each) => !isIn.has(each))).toEqual([]);
      },
    ),
    { numRuns: 3000 },
  );
});

test("the range of a pattern without stars, or with one at its end, has no other names", () => {
  fc.assert(
    fc.property(name, fc.constantFrom("", "**"), fc.array(name), (prefix, star, names) => {
      const { from = "", until = "{" } = globSeek(prefix + star, ALPHABET)("") ?? {};
      for (const each of names) {
        if (each >= from && each < until) expect(star === "" ? each === prefix : each.startsWith(prefix)).toBe(true);
      }
    }),
    { numRuns: 1000 },
  );
});

test("a name that does not match is never given as a place", () => {
  fc.assert(
    fc.property(pattern, name, (each, from) => {
      if (!glob(each)(from)) expect(globSeek(each, ALPHABET)(from)?.from).not.toBe(from);
    }),
    { numRuns: 3000 },
  );
});

test("a long pattern with many stars takes no time worth mentioning", () => {
  const seek = globSeek("*-*-*-*-*-*-*-*-*-*/x", ALPHABET);
  expect(seek("a-".repeat(120))?.from).toStartWith("a-".repeat(120));
  expect(seek(`${"a-".repeat(100)}/y`)).toBeDefined();
});
