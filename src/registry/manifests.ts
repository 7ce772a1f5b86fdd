/** The manifests of a repository, by digest. */
import { conditionFailed } from "../oci/tag-condition.ts";
import type { TagCondition } from "../oci/tag-condition.ts";
import { matchesAny } from "../lib/glob.ts";
import type { Hold } from "../metadata/holds.ts";
import type { PutManifestResult, WrongSize } from "../metadata/manifests.ts";
import type { Digest } from "../oci/digest.ts";
import { Deviations, refuseDeviations } from "../oci/deviation.ts";
import type { Deviation } from "../oci/deviation.ts";
import { OciError } from "../oci/error.ts";
import { invalidManifest } from "../oci/invalid-manifest.ts";
import { MAX_MANIFEST_SIZE } from "../oci/manifest.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import type { Tag } from "../oci/tag.ts";
import { manifestUnknown } from "../oci/unknown.ts";
import type { Backend } from "./backend.ts";
import { paged } from "./pages.ts";
import { allowedByQuotas } from "./quota-refusal.ts";
import type { PageStart } from "./pages.ts";
import { readPushed } from "./pushed-manifest.ts";

/** What is known of a manifest without its bytes. */
export interface ManifestDescriptor {
  /** As it was pushed, without parameters. */
  readonly mediaType: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
}

/** A manifest: exactly the bytes that were pushed, wherever they are kept. */
export interface Manifest extends ManifestDescriptor {
  readonly payload: Uint8Array;
}

export interface PutManifestOptions {
  /** The `Content-Type` it came with, without parameters; found out from the bytes when absent. */
  readonly mediaType?: string;
  /** Refused with `DIGEST_INVALID` when the bytes do not have it; their SHA-256 when absent. */
  readonly digest?: Digest;
  /** Tags that shall point at it. */
  readonly tags?: readonly Tag[];
  /** What must hold of the (one) tag; refused with status 412 when it does not. */
  readonly condition?: TagCondition;
}

export interface PutManifest extends ManifestDescriptor {
  /** What the manifest says it is about: it is in that digest's list of referrers now. */
  readonly subject?: string;
  /** What it names and is not in this repository: foreign layers, and what a sparse manifest leaves out. */
  readonly missing: readonly string[];
  /** Where it departs from the image-spec and was stored all the same: the first few such places. */
  readonly deviations: readonly Deviation[];
  /** How many such places there are. */
  readonly deviationCount: number;
}

export interface ManifestService {
  exists(digest: Digest): Promise<boolean>;
  /** Undefined when the repository has no such manifest. */
  stat(digest: Digest): Promise<ManifestDescriptor | undefined>;
  /** Undefined when the repository has no such manifest. */
  find(digest: Digest): Promise<Manifest | undefined>;
  /**
   * Stores a manifest byte by byte, with its tags and its place among the referrers of its subject, all at once; durable
   * when it resolves. Refused with `DIGEST_INVALID`, `SIZE_INVALID` (413), `MANIFEST_INVALID`, `MANIFEST_UNVERIFIED`,
   * `MANIFEST_BLOB_UNKNOWN`, or `DENIED` when a tag that stays would move.
   */
  put(payload: Uint8Array, options?: PutManifestOptions): Promise<PutManifest>;
  /**
   * Removes it with every tag that points at it; refused with `MANIFEST_UNKNOWN` on absence, and with `DENIED` when a
   * tag that stays points at it, or at an index that leads to it.
   */
  delete(digest: Digest): Promise<void>;
  /** Every manifest, in order of the digests. */
  all(from?: PageStart): AsyncIterable<ManifestDescriptor>;
}

export class LocalManifests implements ManifestService {
  readonly #backend: Backend;
  readonly #name: RepositoryName;

  constructor(backend: Backend, name: RepositoryName) {
    this.#backend = backend;
    this.#name = name;
  }

  async exists(digest: Digest): Promise<boolean> {
    return (await this.stat(digest)) !== undefined;
  }

  async stat(digest: Digest): Promise<ManifestDescriptor | undefined> {
    await this.#touch(digest);
    return await this.#backend.metadata.manifests.find(this.#name, digest);
  }

  async find(digest: Digest): Promise<Manifest | undefined> {
    await this.#touch(digest);
    return await this.#backend.metadata.manifests.read(this.#name, digest);
  }

  async put(payload: Uint8Array, options: PutManifestOptions = {}): Promise<PutManifest> {
    if (payload.length > MAX_MANIFEST_SIZE) throw manifestTooLarge();
    const { tags = [], condition } = options;
    const target = { name: this.#name, mediaType: options.mediaType, digest: options.digest, tags };
    const deviations = new Deviations();
    const deviates = this.#backend.limits.strict ? refuseDeviations : deviations.add;
    const pushed = readPushed(payload, target, this.#backend.limits, deviates);
    const patterns = this.#backend.limits.immutableTagsOf(this.#name);
    const immutableTags = tags.filter((tag) => matchesAny(patterns, tag));
    const manifest = { ...pushed, tags, condition, immutableTags };
    const { metadata, cause } = this.#backend;
    const result = allowedByQuotas(await metadata.manifests.put(this.#name, manifest, cause));
    if (result.kind !== "stored") throw refusalOf(result);
    const { mediaType, digest, subject } = pushed;
    for (const wrong of result.wrongSizes) deviations.add(`${wrong.path}.size`, wrongSize(wrong));
    return {
      mediaType,
      digest,
      size: payload.length,
      missing: result.missing,
      deviations: deviations.listed,
      deviationCount: deviations.count,
      ...(subject ? { subject } : {}),
    };
  }

  async delete(digest: Digest): Promise<void> {
    const { metadata, limits, cause } = this.#backend;
    const result = await metadata.manifests.delete(this.#name, digest, limits.immutableTagsOf(this.#name), cause);
    if (result === "absent") throw manifestUnknown(this.#name, { digest });
    if (result !== "done" && result !== "tagged" && result !== "needed") throw isHeld(result, digest);
  }

  /** Where manifests without a tag are collected, one that a client is told of stays for a while. */
  async #touch(digest: Digest): Promise<void> {
    const { metadata, clock, rules } = this.#backend;
    if (rules.untagged) await metadata.manifests.renewLease(this.#name, digest, clock.now() - rules.leaseMs / 2);
  }

  all(from: PageStart = {}): AsyncIterable<ManifestDescriptor> {
    return paged(
      from,
      (page) => this.#backend.metadata.manifests.list(this.#name, page),
      (manifest) => manifest.digest,
    );
  }
}

export function manifestTooLarge(): OciError {
  return new OciError("SIZE_INVALID", {
    status: 413,
    message: `a manifest may have at most ${MAX_MANIFEST_SIZE} bytes: move what is large into a blob`,
    detail: { limit: MAX_MANIFEST_SIZE },
  });
}

/** A manifest can name ten thousand digests, and the reply would be larger than the request. */
const MAX_MISSING_LISTED = 20;

function refusalOf(result: Exclude<PutManifestResult, { readonly kind: "stored" }>): OciError {
  switch (result.kind) {
    case "missing":
      return missingContent(result.digests);
    case "size":
      return invalidManifest(`${result.path}.size`, wrongSize(result));
    case "condition":
      return conditionFailed();
    case "immutable":
      return tagIsFixed(result.tag);
  }
}

function missingContent(digests: readonly string[]): OciError {
  const listed = digests.slice(0, MAX_MISSING_LISTED);
  const more = digests.length - listed.length;
  return new OciError("MANIFEST_BLOB_UNKNOWN", {
    message:
      "the manifest references blobs or manifests that are not in this repository: push them first" +
      (more > 0 ? ` (these and ${more} more)` : ""),
    details: listed.map((digest) => ({ digest })),
  });
}

function wrongSize({ said, actual }: WrongSize): string {
  return `is ${said}, but the content has ${actual} bytes`;
}

/** A code by which no client tries again in another format. */
export function tagIsFixed(tag: Tag): OciError {
  return new OciError("DENIED", {
    message: `the tag ${tag} is immutable (protectedtags): push another tag`,
    detail: { tag },
  });
}

/** The same code when something is to be deleted that such a tag needs. */
export function isHeld(hold: Hold, digest: Digest): OciError {
  if (hold === "unclear") {
    return new OciError("DENIED", {
      message: "too many manifests reference this one to check for immutable tags (protectedtags): delete those first",
      detail: { digest },
    });
  }
  return new OciError("DENIED", {
    message: `the tag ${hold.immutable} is immutable (protectedtags): its image and everything that it references cannot be deleted`,
    detail: { tag: hold.immutable, digest },
  });
}
