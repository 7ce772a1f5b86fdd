/** Content digests (image-spec, descriptor.md, "Digests"): their grammar, and incremental hashing. */
import { createHash } from "node:crypto";
import type { Hash } from "node:crypto";
import { OciError } from "./error.ts";

declare const brand: unique symbol;

/** A content digest of an algorithm we compute, in its registered form, such as `sha256:9f86d0…`. */
export type Digest = string & { readonly [brand]: "Digest" };

/** The algorithms we compute: sha256 is REQUIRED, sha512 is registered (image-spec, "Registered algorithms"). */
export type Algorithm = "sha256" | "sha512";

/** Digests of these algorithms; "lowercase hex": upper case MUST be refused. */
const DIGEST = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;

/** `algorithm:encoded`, whatever the algorithm (image-spec, "Digests"). */
const GRAMMAR = /^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/;

/** The algorithm that `text` names, or undefined when it is none of ours. */
export function parseAlgorithm(text: string): Algorithm | undefined {
  return text === "sha256" || text === "sha512" ? text : undefined;
}

/** The digest that `text` spells, or undefined when it spells none of an algorithm we compute. */
export function parseDigest(text: string): Digest | undefined {
  return DIGEST.test(text) ? (text as Digest) : undefined;
}

/** As `parseDigest`, but a text that is no digest is refused with `DIGEST_INVALID`. */
export function digest(text: string): Digest {
  const parsed = parseDigest(text);
  if (parsed === undefined) {
    throw new OciError("DIGEST_INVALID", {
      message: "invalid digest: it must be sha256: and 64, or sha512: and 128, lowercase hexadecimal digits",
      detail: { digest: text.slice(0, 256) },
    });
  }
  return parsed;
}

/** Characters of a digest of an algorithm that we do not know: it may become a header (`OCI-Subject`). */
const MAX_LENGTH = 255;

/** Whether `text` has the grammar of a digest, also of an algorithm that we do not know, and at most 255 characters. */
export function isDigestLike(text: string): boolean {
  return text.length <= MAX_LENGTH && GRAMMAR.test(text);
}

export function algorithmOf(of: Digest): Algorithm {
  return of.slice(0, of.indexOf(":")) as Algorithm;
}

/** The part after the colon. */
export function encodedOf(of: Digest): string {
  return of.slice(of.indexOf(":") + 1);
}

/** The digest of bytes that are at hand. */
export function digestOf(bytes: Uint8Array, algorithm: Algorithm = "sha256"): Digest {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}` as Digest;
}

/** Hashes bytes as they come, under one or several algorithms at once. */
export class Digester {
  readonly #hashes: ReadonlyMap<Algorithm, Hash>;

  private constructor(hashes: ReadonlyMap<Algorithm, Hash>) {
    this.#hashes = hashes;
  }

  static of(...algorithms: readonly Algorithm[]): Digester {
    return new Digester(new Map(algorithms.map((algorithm) => [algorithm, createHash(algorithm)])));
  }

  update(bytes: Uint8Array): void {
    for (const hash of this.#hashes.values()) hash.update(bytes);
  }

  /** A digester of the same bytes so far that goes its own way from here. */
  copy(): Digester {
    return new Digester(new Map([...this.#hashes].map(([algorithm, hash]) => [algorithm, hash.copy()])));
  }

  /** The digest of all bytes so far; undefined when they were not hashed with `algorithm`. More may follow. */
  digest(algorithm: Algorithm): Digest | undefined {
    const hash = this.#hashes.get(algorithm);
    return hash && (`${algorithm}:${hash.copy().digest("hex")}` as Digest);
  }
}
