import { describe, expect, test } from "bun:test";
import { assert, property, string } from "fast-check";
import { formatScope, parseScope, parseScopes } from "./scope.ts";

describe("a scope", () => {
  for (const [text, type, name, actions] of [
    ["repository:team/app:pull", "repository", "team/app", ["pull"]],
    ["repository:team/app:pull,push", "repository", "team/app", ["pull", "push"]],
    ["repository:team/app:pull,,push,pull", "repository", "team/app", ["pull", "push"]],
    ["registry:catalog:*", "registry", "catalog", ["*"]],
    ["repository(plugin):team/app:pull", "repository", "team/app", ["pull"]],
    ["repository:host:5000/team/app:pull", "repository", "host:5000/team/app", ["pull"]],
  ] as const) {
    test(`is understood: ${text}`, () => {
      expect(parseScope(text)).toEqual({ type, name, actions: [...actions] });
    });
  }

  for (const text of [
    "",
    ":",
    "::",
    "repository",
    "repository:app",
    "repository::pull",
    ":app:pull",
    "repository:app:",
    "(plugin):app:pull",
  ]) {
    test(`is none: "${text}"`, () => {
      expect(parseScope(text)).toBeUndefined();
    });
  }

  test("that is printed is read as it was, and reading never fails", () => {
    assert(
      property(string(), (text) => {
        const scope = parseScope(text);
        if (scope) expect(parseScope(formatScope(scope))).toEqual(scope);
      }),
    );
  });
});

describe("several scopes", () => {
  test("come in several parameters, or in one with spaces", () => {
    const one = parseScopes(["repository:a:pull", "repository:b:push"]);
    expect(parseScopes(["repository:a:pull repository:b:push"])).toEqual(one);
    expect(one.map(({ name }) => name)).toEqual(["a", "b"]);
  });

  test("are so many at most, and what is none of them is left out", () => {
    expect(parseScopes([Array.from({ length: 500 }, (_, at) => `repository:a${at}:pull`).join(" ")])).toHaveLength(100);
    expect(parseScopes(["nothing repository:a:pull", ""])).toHaveLength(1);
  });
});
