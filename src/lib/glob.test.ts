import { describe, expect, test } from "bun:test";
import { glob } from "./glob.ts";

describe("a pattern of names", () => {
  const cases: readonly [pattern: string, fits: readonly string[], others: readonly string[]][] = [
    ["team/app", ["team/app"], ["team/apps", "team", "a/team/app", "team/app/x"]],
    ["team/*", ["team/app", "team/a-b.c"], ["team", "team/app/x", "teams/app"]],
    ["team/**", ["team/app", "team/app/x/y"], ["team", "teams/app", "x/team/app"]],
    ["**", ["a", "a/b/c"], []],
    ["*", ["a"], ["a/b"]],
    ["**/cache", ["a/cache", "a/b/cache"], ["cache", "a/cache/b"]],
    ["*/app-*", ["x/app-1"], ["x/y/app-1", "x/app"]],
    ["v1.*", ["v1.2", "v1."], ["v102", "v1"]],
  ];
  for (const [pattern, fits, others] of cases) {
    test(`${pattern} fits what it says, and nothing else`, () => {
      expect([...fits, ...others].filter(glob(pattern))).toEqual([...fits]);
    });
  }

  test("takes every sign but the star for itself", () => {
    expect(glob("a+(b)[c].d")("a+(b)[c].d")).toBeTrue();
    expect(glob("a.*")("abc")).toBeFalse();
  });
});
