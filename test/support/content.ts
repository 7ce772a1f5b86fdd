/** Content for tests: bytes that are the same in every run, and small images made of them. */
import { createHash } from "node:crypto";

export const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
export const OCI_INDEX = "application/vnd.oci.image.index.v1+json";
export const OCI_CONFIG = "application/vnd.oci.image.config.v1+json";
export const OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip";
export const OCI_EMPTY = "application/vnd.oci.empty.v1+json";
export const DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
export const DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json";

export interface TestDescriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly [more: string]: unknown;
}

/** The digest of `bytes`, as an independent implementation computes it. */
export function digestOf(bytes: Uint8Array | string, algorithm: "sha256" | "sha512" = "sha256"): string {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;
}

/** `size` bytes that depend on `seed` alone and do not compress. */
export function bytesOf(seed: string | number, size: number): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(size);
  for (let at = 0, block = 0; at < size; block++) {
    const part = createHash("sha512").update(`${seed}/${block}`).digest();
    out.set(part.subarray(0, Math.min(part.length, size - at)), at);
    at += part.length;
  }
  return out;
}

export function descriptorOf(
  mediaType: string,
  bytes: Uint8Array | string,
  more: Record<string, unknown> = {},
): TestDescriptor {
  return { mediaType, digest: digestOf(bytes), size: Buffer.byteLength(bytes), ...more };
}

/** An image manifest's text over a config and layers. */
export function imageManifest(
  config: TestDescriptor,
  layers: readonly TestDescriptor[],
  more: Record<string, unknown> = {},
): string {
  return JSON.stringify({ schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers, ...more });
}

/** An index's text over its children. */
export function imageIndex(manifests: readonly TestDescriptor[], more: Record<string, unknown> = {}): string {
  return JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests, ...more });
}
