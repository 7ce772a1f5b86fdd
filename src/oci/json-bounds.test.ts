/** Bounds on JSON documents, found without parsing them. */
import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { exceededBound } from "./json-bounds.ts";

/** How deep a parsed document is nested. */
function depthOf(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  return 1 + Math.max(0, ...Object.values(value).map(depthOf));
}

const WIDE = { values: 1_000_000, depth: 1_000_000 };

test("a document is nested as deep as its parsed form", () => {
  fc.assert(
    fc.property(fc.json(), (text) => {
      const depth = depthOf(JSON.parse(text));
      expect(exceededBound(text, { ...WIDE, depth })).toBeUndefined();
      if (depth > 0) expect(exceededBound(text, { ...WIDE, depth: depth - 1 })).toBe("depth");
    }),
  );
});

test("each object, list, member and item counts, at any depth", () => {
  for (const [text, values] of [
    ["{}", 1],
    ['{"a":1}', 1],
    ['{"a":1,"b":2}', 2],
    ["[1,2,3]", 3],
    ['{"a":{},"b":[[]]}', 5],
    ['{"a":",,,[[[{{{","b\\",{":"\\\\"}', 2],
  ] as const) {
    expect(exceededBound(text, { ...WIDE, values })).toBeUndefined();
    expect(exceededBound(text, { ...WIDE, values: values - 1 })).toBe("values");
  }
});

test("a text that is not JSON is scanned to its end", () => {
  for (const text of ['"', '{"a', '{"a\\', '"\\"', "]]]]", "{{{", '\\"[[[']) {
    expect(exceededBound(text, WIDE)).toBeUndefined();
  }
});
