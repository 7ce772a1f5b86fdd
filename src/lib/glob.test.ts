import { describe, expect, test } from "bun:test";
import { array, assert, constantFrom, property } from "fast-check";
import type { Arbitrary } from "fast-check";
import { MAX_MATCHED_LENGTH, glob } from "./glob.ts";

describe("a pattern of names", () => {
  const cases: readonly [pattern: string, fits: readonly string[], others: readonly string[]][] = [
    ["team/app", ["team/app"], ["team/apps", "team", "a/team/app", "team/app/x"]],
    ["team/*", ["team/app", "team/a-b.c"], ["team", "team/", "team/app/x", "teams/app"]],
    ["team/**", ["team/app", "team/app/x/y"], ["team", "team/", "teams/app", "x/team/app"]],
    ["team/*/app", ["team/x/app"], ["team//app", "team/x/y/app"]],
    ["**", ["a", "a/b/c"], [""]],
    ["*", ["a"], ["", "a/b"]],
    ["**/cache", ["a/cache", "a/b/cache"], ["cache", "/cache", "a/cache/b"]],
    ["*/app-*", ["x/app-1", "x/app-"], ["x/y/app-1", "x/app"]],
    ["v1.*", ["v1.2", "v1."], ["v102", "v1"]],
    ["a**z", ["az", "a/z", "abcz"], ["a", "z", "azb"]],
    ["a***z", ["az", "a/b/z"], ["a/b"]],
    ["*a*b*", ["ab", "xaxbx"], ["ba", "a/b"]],
  ];
  for (const [pattern, fits, others] of cases) {
    test(`${pattern} matches what it says, and nothing else`, () => {
      expect([...fits, ...others].filter(glob(pattern))).toEqual([...fits]);
    });
  }

  test("takes every character but the star for itself", () => {
    expect(glob("a+(b)[c].d*")("a+(b)[c].d")).toBeTrue();
    expect(glob("a.*")("abc")).toBeFalse();
  });

  for (const character of ["\n", "\r", "\0", "\u007f", "\u0085", "\u2028", "\u2029"]) {
    test(`has no star that matches the control character ${JSON.stringify(character)}`, () => {
      const patterns = ["octo/*", "octo/**", "octo/*app", "octo/a**app", "**", "*"];
      const names = [`octo/${character}`, `octo/app${character}`, `octo/a${character}app`, `${character}octo/app`];
      for (const pattern of patterns) expect(names.filter(glob(pattern))).toEqual([]);
    });
  }

  test("matches no name that is longer than any is", () => {
    expect(glob("a*")("a".repeat(MAX_MATCHED_LENGTH))).toBeTrue();
    expect(glob("a*")("a".repeat(MAX_MATCHED_LENGTH + 1))).toBeFalse();
    expect(glob("**")("a".repeat(MAX_MATCHED_LENGTH + 1))).toBeFalse();
  });

  test("matches as its definition says, for any pattern and name", () => {
    assert(
      property(textOf("a", "b", "/", "*", "**"), textOf("a", "b", "/"), (pattern, name) => {
        expect(glob(pattern)(name)).toBe(matchesByDefinition(pattern, name));
      }),
      { numRuns: 2000 },
    );
  });

  /** A regular expression that tries every way would need longer than the universe is old: so this test ends or hangs. */
  test("with many stars takes no longer than its length says", () => {
    for (const star of ["*-", "**-", "*", "*a*", "**/"]) {
      const pattern = `${star.repeat(Math.floor(1000 / star.length))}/x!`;
      for (const unit of ["a", "-", "a-", "a/"]) {
        expect(glob(pattern)(unit.repeat(MAX_MATCHED_LENGTH / unit.length))).toBeFalse();
      }
    }
  });
});

function textOf(...parts: readonly string[]): Arbitrary<string> {
  return array(constantFrom(...parts), { maxLength: 8 }).map((chosen) => chosen.join(""));
}

/** As the documentation of `glob` says it, and slow. */
function matchesByDefinition(pattern: string, name: string, atPart: boolean = true): boolean {
  const [stars] = /^\*+/.exec(pattern) ?? [];
  if (stars === undefined) {
    if (pattern === "" || name === "") return pattern === name;
    return pattern[0] === name[0] && matchesByDefinition(pattern.slice(1), name.slice(1), pattern[0] === "/");
  }
  const rest = pattern.slice(stars.length);
  const fewest = atPart && (rest === "" || rest.startsWith("/")) ? 1 : 0;
  for (let length = fewest; length <= name.length; length++) {
    if (stars.length === 1 && name.slice(0, length).includes("/")) return false;
    if (matchesByDefinition(rest, name.slice(length), false)) return true;
  }
  return false;
}
