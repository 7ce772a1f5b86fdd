/** Tags: distribution-spec, "Pulling manifests", `<reference>` as a tag. */
import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { parseTag, tag } from "./tag.ts";
import type { Tag } from "./tag.ts";

const FIRST = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_".split("");

/** ASCII, or any sixteen-bit units: half surrogates too. */
const anyText = fc.oneof(
  fc.string({ maxLength: 300 }),
  fc.uint16Array({ maxLength: 300 }).map((units) => String.fromCharCode(...units)),
);

describe("a tag", () => {
  const good = [
    "a",
    "Z",
    "0",
    "_",
    "latest",
    "v1.2.3",
    "1-2_3.4",
    "A..b--c__",
    "_-.",
    "sha256-44136fa355b3678a",
    "list",
    "uploads",
  ];
  for (const text of [...good, "x".repeat(128)]) {
    test(`may be ${text.slice(0, 24)}`, () => {
      expect(parseTag(text)).toBe(text as Tag);
      expect(tag(text)).toBe(text as Tag);
    });
  }

  const bad = [
    "",
    ".a",
    "-a",
    ".",
    "-",
    "a b",
    " a",
    "a ",
    "a\n",
    "a\0",
    "a/b",
    "a:b",
    "a@b",
    "a+b",
    "a%2e",
    "é",
    "\u0430",
    "\u0661",
    "a\u200b",
    "x".repeat(129),
  ];
  for (const text of bad) {
    test(`may not be ${JSON.stringify(text.slice(0, 24))}, which is refused with TAG_INVALID`, () => {
      expect(parseTag(text)).toBeUndefined();
      expect(() => tag(text)).toThrow(expect.objectContaining({ code: "TAG_INVALID", status: 400 }));
    });
  }

  test("may be anything of up to 128 such characters that does not begin with a dot or a dash", () => {
    const first = fc.constantFrom(...FIRST);
    const others = fc.string({ unit: fc.constantFrom(...FIRST, ".", "-"), maxLength: 127 });
    fc.assert(
      fc.property(first, others, (start, rest) => {
        expect(parseTag(start + rest)).toBe((start + rest) as Tag);
        expect(parseTag(`.${rest}`)).toBeUndefined();
        expect(parseTag(`-${rest}`)).toBeUndefined();
      }),
    );
  });

  test("is looked for in any text without an error", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect([undefined, text]).toContain(parseTag(text));
      }),
    );
  });

  test("is refused with its grammar and with at most 256 characters of itself", () => {
    const text = " ".repeat(10_000);
    expect(() => tag(text)).toThrow("[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}");
    expect(() => tag(text)).toThrow(expect.objectContaining({ details: [{ tag: text.slice(0, 256) }] }));
  });
});
