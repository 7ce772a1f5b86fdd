/** The `Warning` header (distribution-spec, "Warnings"). */
import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { warningHeaders } from "./warnings.ts";

test("says nothing when there is nothing to say", () => {
  expect(warningHeaders([])).toEqual({});
});

test("holds all warnings in one, with quotes escaped", () => {
  expect(warningHeaders(['a "b" \\', "c"])).toEqual({ warning: '299 - "a \\"b\\" \\\\; c"' });
});

test("is one that clients read, whatever it is about", () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: "binary", maxLength: 6000 }), { minLength: 1 }), (warnings) => {
      const { warning = "" } = warningHeaders(warnings);
      expect(warning.length).toBeLessThanOrEqual(4096);
      expect(warning).toMatch(/^299 - "(?:[ !#-[\]-~]|\\["\\])*"$/);
    }),
  );
});
