/** Names of repositories: distribution-spec, "Pulling manifests", and 255 bytes in all. */
import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { MAX_NAME_LENGTH, parseRepositoryName, repositoryName } from "./repository-name.ts";
import type { RepositoryName } from "./repository-name.ts";

/** Letter by letter as the specification prints it. */
const SPECIFIED = /^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$/;

/** Built from the words of the grammar, without its expression. */
const word = fc.string({
  unit: fc.constantFrom("a", "b", "c", "x", "y", "z", "0", "1", "8", "9"),
  minLength: 1,
  maxLength: 6,
});
const separator = fc.oneof(
  fc.constantFrom(".", "_", "__"),
  fc.nat(4).map((more) => "-".repeat(more + 1)),
);
const part = fc
  .tuple(word, fc.array(fc.tuple(separator, word), { maxLength: 3 }))
  .map(([first, others]) => first + others.flat().join(""));
const name = fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("/"));

/** ASCII, or any sixteen-bit units: half surrogates too. */
const anyText = fc.oneof(
  fc.string({ maxLength: 300 }),
  fc.uint16Array({ maxLength: 300 }).map((units) => String.fromCharCode(...units)),
);

describe("a repository's name", () => {
  const good = [
    "a",
    "0",
    "app",
    "library/alpine",
    "a/b/c/d/e",
    "a.b",
    "a_b",
    "a__b",
    "a-b",
    "a---b",
    "1.2.3/4-5",
    "a.b_c__d-e--f/g",
    "tags/list",
    "a/blobs/uploads",
    "manifests",
    "xn--bcher-kva/app",
    "localhost/app",
    "127.0.0.1/app",
  ];
  for (const text of good) {
    test(`may be ${text}`, () => {
      expect(parseRepositoryName(text)).toBe(text as RepositoryName);
      expect(repositoryName(text)).toBe(text as RepositoryName);
    });
  }

  const bad = [
    "",
    "/",
    "//",
    "A",
    "Library/alpine",
    "a/B",
    ".a",
    "a.",
    "_a",
    "a_",
    "-a",
    "a-",
    "a..b",
    "a___b",
    "a._b",
    "a_.b",
    "a-_b",
    "a.-b",
    "a_-b",
    "/a",
    "a/",
    "a//b",
    "a/.b",
    "a/-b",
    "a-/b",
    ".",
    "..",
    "a/..",
    "../a",
    "a/./b",
    "_catalog",
    "a/_oci/b",
    "a b",
    " a",
    "a ",
    "a\n",
    "\na",
    "a\n/b",
    "a\0b",
    "a\tb",
    "a:b",
    "a@b",
    "a+b",
    "a~b",
    "a%2fb",
    "a\\b",
    "a?b",
    "a#b",
    "ä",
    "\u0430pp",
    "\uff41pp",
    "app\u0660",
    "app\u200b",
    "registry.example:5000/app",
  ];
  for (const text of bad) {
    test(`may not be ${JSON.stringify(text)}, which is refused with NAME_INVALID`, () => {
      expect(parseRepositoryName(text)).toBeUndefined();
      expect(() => repositoryName(text)).toThrow(expect.objectContaining({ code: "NAME_INVALID", status: 400 }));
    });
  }

  test("may have 255 characters and no more", () => {
    expect(MAX_NAME_LENGTH).toBe(255);
    for (const build of [
      (length: number) => "a".repeat(length),
      (length: number) => `${"a/".repeat(length / 2 - 1)}b`.padEnd(length, "c"),
    ]) {
      expect(build(255)).toHaveLength(255);
      expect(parseRepositoryName(build(255))).toBe(build(255) as RepositoryName);
      expect(parseRepositoryName(build(256))).toBeUndefined();
    }
  });

  test("is what the specification's expression says, for every text of up to six such characters", () => {
    const characters = ["a", "0", ".", "_", "-", "/", "A"];
    let texts = [""];
    const [taken, specified]: [string[], string[]] = [[], []];
    for (let length = 0; length <= 6; length++) {
      taken.push(...texts.filter((text) => parseRepositoryName(text) !== undefined));
      specified.push(...texts.filter((text) => SPECIFIED.test(text)));
      texts = texts.flatMap((text) => characters.map((character) => text + character));
    }
    expect(taken).toEqual(specified);
    expect(specified.length).toBeGreaterThan(1000);
  });

  test("may be anything that is built from the grammar's words", () => {
    fc.assert(
      fc.property(name, (text) => {
        fc.pre(text.length <= MAX_NAME_LENGTH);
        expect(parseRepositoryName(text)).toBe(text as RepositoryName);
      }),
    );
  });

  test("is never made of two words that nothing joins, nor of a joint at an end", () => {
    fc.assert(
      fc.property(name, fc.constantFrom("/", ".", "_", "-"), (text, joint) => {
        expect(parseRepositoryName(text + joint)).toBeUndefined();
        expect(parseRepositoryName(joint + text)).toBeUndefined();
        expect(parseRepositoryName(`${text}/${joint}${text}`)).toBeUndefined();
      }),
    );
  });

  test("is looked for in any text without an error", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect([undefined, text]).toContain(parseRepositoryName(text));
      }),
    );
  });

  test("is not found in hostile texts, which are decided all the same", () => {
    const hostile = [
      `${"a".repeat(255)}!`,
      `${"a".repeat(254)}!`,
      `a${"-".repeat(254)}`,
      `a${"-".repeat(253)}!`,
      `a${"_".repeat(254)}`,
      `${"a-".repeat(127)}!`,
      `${"a--".repeat(84)}!`,
      `${"a__".repeat(84)}!`,
      "a/".repeat(127),
      `${"a/".repeat(126)}!`,
      `a${"-".repeat(1_000_000)}`,
      `${"a/".repeat(500_000)}!`,
    ];
    for (const text of hostile) expect(parseRepositoryName(text)).toBeUndefined();
  });

  test("is refused with its grammar and with at most 512 characters of itself", () => {
    const text = "A".repeat(10_000);
    expect(() => repositoryName(text)).toThrow("lowercase letters and digits");
    expect(() => repositoryName(text)).toThrow(expect.objectContaining({ details: [{ name: text.slice(0, 512) }] }));
  });
});
