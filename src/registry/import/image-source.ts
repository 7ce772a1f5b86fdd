/** Where images are copied from: another registry, an OCI image layout, an archive of `docker save`. */
import type { Digest } from "../../oci/digest.ts";
import type { Tag } from "../../oci/tag.ts";

export interface SourceManifest {
  readonly payload: Uint8Array;
  /** Undefined when the source does not say it. */
  readonly mediaType: string | undefined;
}

/** The source does not give what was asked for; the message says what it gives instead. */
export class SourceError extends Error {
  override readonly name = "SourceError";
}

export interface ImageSource {
  tags(repository: string): AsyncIterable<string>;
  /** By tag or digest. Undefined when it has no such manifest. */
  manifest(repository: string, reference: string): Promise<SourceManifest | undefined>;
  /** The digest of the manifest that a tag or a digest names; undefined when the source does not say it, or has none. */
  digestOf(repository: string, reference: string): Promise<Digest | undefined>;
  /** The bytes of a blob. Throws `SourceError` when it has no such blob. */
  blob(repository: string, digest: Digest): AsyncIterable<Uint8Array>;
  /** The digests of the manifests that have `subject` as their subject. */
  referrers(repository: string, subject: Digest): Promise<readonly Digest[]>;
}

export interface ArchivedImage {
  /** As it is called there, without the host of a registry; undefined when it has no name. */
  readonly repository?: string | undefined;
  readonly tag?: Tag | undefined;
  readonly digest: Digest;
}

export interface ImageArchive {
  readonly source: ImageSource;
  /** All but those that are there as referrers of others only. */
  readonly images: readonly ArchivedImage[];
}
