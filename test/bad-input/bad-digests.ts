/** Texts that are no digest of an algorithm the registry computes, as they stand in a path or a query. */
import { IMAGE } from "./witness.ts";

export interface BadDigest {
  readonly title: string;
  readonly text: string;
}

const HEX: string = IMAGE.digest.slice("sha256:".length);

/** With a colon: "never a tag", wherever a tag or a digest may stand. */
export const BAD_DIGESTS: readonly BadDigest[] = [
  { title: "no hexadecimal digits", text: "sha256:zz" },
  { title: "no digits at all", text: "sha256:" },
  { title: "the conformance suite's baddigeststring", text: "sha256:baddigeststring" },
  { title: "the conformance suite's totallywrong", text: "sha256:totallywrong" },
  { title: "one letter that is not hexadecimal", text: `sha256:${HEX.slice(0, -1)}g` },
  // "the encoded portion MUST match /[a-f0-9]{64}/": upper case is another text (image-spec, "SHA-256").
  { title: "upper case digits", text: `sha256:${HEX.toUpperCase()}` },
  { title: "one upper case digit", text: `sha256:${"a".repeat(63)}A` },
  { title: "63 digits", text: `sha256:${HEX.slice(1)}` },
  { title: "65 digits", text: `sha256:${HEX}0` },
  { title: "128 digits under sha256", text: `sha256:${HEX}${HEX}` },
  { title: "64 digits under sha512", text: `sha512:${HEX}` },
  { title: "127 digits under sha512", text: `sha512:${HEX}${HEX.slice(1)}` },
  { title: "upper case digits under sha512", text: `sha512:${"A".repeat(128)}` },
  { title: "md5", text: `md5:${HEX.slice(0, 32)}` },
  { title: "sha1", text: `sha1:${HEX.slice(0, 40)}` },
  { title: "sha384", text: `sha384:${HEX}${HEX.slice(0, 32)}` },
  { title: "blake3, which is registered but not computed here", text: `blake3:${HEX}` },
  { title: "an unknown algorithm", text: `sha3-256:${HEX}` },
  { title: "an algorithm of two components", text: "multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8" },
  { title: "an upper case algorithm", text: `SHA256:${HEX}` },
  { title: "an algorithm with a dash", text: `sha-256:${HEX}` },
  { title: "an algorithm that inherited properties name", text: `constructor:${HEX}` },
  { title: "an algorithm called __proto__", text: `__proto__:${HEX}` },
  { title: "no algorithm", text: `:${HEX}` },
  { title: "a colon alone", text: ":" },
  { title: "two algorithms", text: `sha256:sha256:${HEX}` },
  { title: "two encoded parts", text: `sha256:${HEX}:${HEX}` },
  { title: "a space before", text: `%20sha256:${HEX}` },
  { title: "a space behind", text: `sha256:${HEX}%20` },
  { title: "a space after the colon", text: `sha256:%20${HEX.slice(1)}` },
  { title: "a line break behind", text: `sha256:${HEX}%0a` },
  { title: "a NUL behind", text: `sha256:${HEX}%00` },
  { title: "full-width digits", text: `sha256:${HEX.slice(1)}%EF%BC%91` },
  { title: "a Cyrillic letter", text: `sha256:${HEX.slice(1)}%D0%B0` },
  { title: "a tag behind an at sign", text: `sha256:${HEX}@v1` },
  { title: "ten thousand digits", text: `sha256:${"a".repeat(10_000)}` },
];

/** Without a colon: where only a digest may stand these are none either. */
export const COLONLESS_DIGESTS: readonly BadDigest[] = [
  { title: "the digits alone", text: HEX },
  { title: "the algorithm alone", text: "sha256" },
  { title: "a tag", text: "v1" },
  { title: "a dash for the colon", text: `sha256-${HEX}` },
  { title: "a full-width colon", text: `sha256%EF%BC%9A${HEX}` },
  { title: "a colon that was encoded twice", text: `sha256%253A${HEX}` },
  { title: "an escape that is none", text: `sha256%zz${HEX}` },
  { title: "bytes that are not UTF-8", text: "sha256%ff" },
];
