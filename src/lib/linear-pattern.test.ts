/** Regular expressions in Go's syntax, and their time. */
import { describe, expect, test } from "bun:test";
import { PatternError, compilePattern } from "./linear-pattern.ts";

describe("a pattern", () => {
  for (const [pattern, matching, others] of [
    [
      "^https?://([^/]+\\.)*example\\.com/",
      ["http://example.com/", "https://a.b.example.com/x"],
      ["https://example.org/"],
    ],
    ["example", ["an example of it"], ["EXAMPLE"]],
    ["(?i)example", ["EXAMPLE"], ["exampl"]],
    ["\\Ahttps://[[:alpha:]]+\\z", ["https://abc"], ["https://abc1", "https://abc\n"]],
    ["", ["", "anything"], []],
    ["^$", [""], ["x"]],
  ] as const) {
    test(`matches anywhere in a text, unless it says where: ${pattern}`, async () => {
      const matches = await compilePattern(pattern);
      for (const text of matching) expect([text, matches(text)]).toEqual([text, true]);
      for (const text of others) expect([text, matches(text)]).toEqual([text, false]);
    });
  }

  for (const pattern of ["(", "[a", "a{1001}", "(?=a)", "(?<!a)", "\\1", "*", "\\"]) {
    test(`that is none is refused: ${pattern}`, async () => {
      await expect(compilePattern(pattern)).rejects.toThrow(PatternError);
    });
  }

  test("with repeats in repeats ends for a text that a backtracking engine would not end for", async () => {
    const matches = await compilePattern("^(([^/]+\\.)*)*example\\.com$");
    expect(matches("a.".repeat(1000))).toBeFalse();
  });
});
