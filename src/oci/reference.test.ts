/** `<tag-or-digest>`: with a colon it is a digest or an error, never a tag. */
import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { digestOf } from "./digest.ts";
import { OciError } from "./error.ts";
import { parseReference } from "./reference.ts";
import { tag } from "./tag.ts";

const SHA256 = digestOf(Buffer.from("x"));
const SHA512 = digestOf(Buffer.from("x"), "sha512");

/** ASCII, or any sixteen-bit units: half surrogates too. */
const anyText = fc.oneof(
  fc.string({ maxLength: 300 }),
  fc.uint16Array({ maxLength: 300 }).map((units) => String.fromCharCode(...units)),
);

describe("a reference", () => {
  test("without a colon is a tag", () => {
    for (const text of ["latest", "v1.0", "_", "sha256", SHA256.replace(":", "-")]) {
      expect(parseReference(text)).toEqual({ kind: "tag", tag: tag(text) });
    }
  });

  test("with a colon is a digest", () => {
    for (const digest of [SHA256, SHA512]) expect(parseReference(digest)).toEqual({ kind: "digest", digest });
  });

  for (const text of [
    ":",
    "latest:",
    ":latest",
    "v1:2",
    "sha256:baddigeststring",
    `${SHA256}:x`,
    `SHA256:${SHA256.slice(7)}`,
  ]) {
    test(`with a colon that is no digest is refused with DIGEST_INVALID: ${text.slice(0, 24)}`, () => {
      expect(() => parseReference(text)).toThrow(expect.objectContaining({ code: "DIGEST_INVALID", status: 400 }));
    });
  }

  test("that can be neither is none", () => {
    for (const text of ["", ".", "-x", "a b", "a/b", "a\r\nX", "a\r\nX-Evil: yes", "x".repeat(129)])
      expect(parseReference(text)).toBeUndefined();
  });

  test("of any text is a tag, a digest, nothing, or that one refusal", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        try {
          const reference = parseReference(text);
          expect([undefined, text]).toContain(reference?.kind === "digest" ? reference.digest : reference?.tag);
        } catch (error) {
          expect(error).toBeInstanceOf(OciError);
          expect(error).toMatchObject({ code: "DIGEST_INVALID" });
          expect(text).toContain(":");
        }
      }),
    );
  });
});
