import { expect, test } from "bun:test";
import { assert, bigInt, property, stringMatching, tuple } from "fast-check";
import { compareTexts, versionKey } from "./version-order.ts";

/** Of any length, short ones as often as long ones. */
const NUMBER = tuple(bigInt(0n, 40n), bigInt(0n, 9n)).map(([length, digit]) => 10n ** length + digit);

function sorted(tags: readonly string[]): readonly string[] {
  return tags.toSorted((a, b) => compareTexts(versionKey(a), versionKey(b)));
}

test("tags are in the order of their versions, releases after their candidates", () => {
  const tags = ["0.9", "1.0-alpha", "1.0-beta.2", "1.0-rc.1", "1.0-rc.10", "1.0", "1.0-alpine", "v1.2", "1.9", "1.10"];
  expect(sorted(tags.toReversed())).toEqual(tags);
  expect(sorted(["latest", "20240102", "v2", "3"])).toEqual(["v2", "3", "20240102", "latest"]);
  expect(sorted(["1.0-dev", "1.0-develop", "1.0"])).toEqual(["1.0-dev", "1.0", "1.0-develop"]);
});

test("property: numbers in tags compare as numbers, however long, and no two tags have the same key", () => {
  assert(
    property(NUMBER, NUMBER, (a, b) => {
      const order = compareTexts(versionKey(`1.${a}.0`), versionKey(`1.${b}.0`));
      expect(order).toBe(a < b ? -1 : a > b ? 1 : 0);
    }),
  );
  const tags = stringMatching(/^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,12}$/);
  assert(property(tags, tags, (a, b) => expect(versionKey(a) === versionKey(b)).toBe(a === b)));
});
