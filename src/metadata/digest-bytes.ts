/**
 * Digests as the database has them: one byte for the algorithm, and the value. They are in the order of their texts, and take
 * half as much.
 */
import { parseDigest } from "../oci/digest.ts";
import type { Algorithm, Digest } from "../oci/digest.ts";

const BYTES_OF: Readonly<Record<Algorithm, number>> = { sha256: 1, sha512: 2 };

const ALGORITHM_OF: ReadonlyMap<number | undefined, Algorithm> = new Map([
  [1, "sha256"],
  [2, "sha512"],
]);

/** The first byte of a digest whose algorithm is not computed here; its text follows. */
const OTHER = 0;

/** Returns the bytes of a digest of any algorithm; those of "" come before all others. */
export function digestBytes(text: string): Uint8Array {
  return Buffer.from(digestHex(text), "hex");
}

/** The bytes of `digestBytes`, as lists in JSON have them. */
export function digestHex(text: string): string {
  if (text === "") return "";
  const digest = parseDigest(text);
  if (digest === undefined) return `0${OTHER}${Buffer.from(text).toString("hex")}`;
  const colon = digest.indexOf(":");
  return `0${BYTES_OF[digest.slice(0, colon) as Algorithm]}${digest.slice(colon + 1)}`;
}

/** Returns the text of a digest from its bytes. Throws when they are not those of a digest. */
export function digestText(bytes: Uint8Array): string {
  const value = Buffer.from(bytes.buffer, bytes.byteOffset + 1, Math.max(bytes.byteLength - 1, 0));
  if (bytes[0] === OTHER) return value.toString();
  const algorithm = ALGORITHM_OF.get(bytes[0]);
  if (algorithm === undefined) throw new TypeError("a digest in the database has an unknown algorithm");
  return `${algorithm}:${value.toString("hex")}`;
}

/** As `digestText`, of one whose algorithm is computed here. */
export function digestOfBytes(bytes: Uint8Array): Digest {
  return digestText(bytes) as Digest;
}

/**
 * Digests as one value of a statement, which reads them by `select unhex(value) from json_each`: each once, and in their
 * order, because rows that are written in the order of an index go to few of its pages.
 */
export function listedDigests(digests: readonly string[]): string {
  return JSON.stringify([...new Set(digests.map(digestHex))].toSorted());
}
