import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { glob } from "../../lib/glob.ts";
import { tagFilter } from "./tag-filter.ts";

test("a pattern matches the tags that it matches as a glob", () => {
  const pattern = fc.stringMatching(/^[1a.*]{0,12}\*[1a.*]{0,12}$/);
  const tag = fc.stringMatching(/^[1a][1a.-]{0,20}$/);
  fc.assert(fc.property(pattern, tag, (letters, each) => expect(tagFilter(letters)(each)).toBe(glob(letters)(each))));
  expect(tagFilter("team/*")("team")).toBeFalse();
});

test("letters match wherever they are, in upper and lower case", () => {
  expect(["A", "b", "1"].map((letter) => tagFilter(letter)("x-aB"))).toEqual([true, true, false]);
});
