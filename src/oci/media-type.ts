/** The media types that a registry has to know; all others are passed through. */

export const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
export const OCI_INDEX = "application/vnd.oci.image.index.v1+json";
export const OCI_ARTIFACT = "application/vnd.oci.artifact.manifest.v1+json";
export const DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
export const DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json";
export const DOCKER_SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+json";
export const DOCKER_SCHEMA1_SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws";

/**
 * What a manifest of each type is made of: a config and layers, a list of manifests, or blobs (the artifact manifest
 * that image-spec v1.1.0-rc4 withdrew and some registries still hold).
 */
export const MANIFEST_SHAPES = {
  [OCI_MANIFEST]: "image",
  [DOCKER_MANIFEST]: "image",
  [OCI_INDEX]: "index",
  [DOCKER_LIST]: "index",
  [OCI_ARTIFACT]: "artifact",
} as const;

export type ManifestMediaType = keyof typeof MANIFEST_SHAPES;

export type ManifestShape = (typeof MANIFEST_SHAPES)[ManifestMediaType];

export function isManifestMediaType(text: string): text is ManifestMediaType {
  return Object.hasOwn(MANIFEST_SHAPES, text);
}

/** RFC 6838, 4.2, as the image-spec's descriptor has it. */
const GRAMMAR = /^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}\/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$/;

/** Characters; a type of the grammar has at most 255, parameters may follow. */
export const MAX_MEDIA_TYPE_LENGTH = 1024;

export function isMediaType(text: string): boolean {
  return GRAMMAR.test(text);
}

/** The type of a `Content-Type` header in lower case, without its parameters. */
export function essenceOf(contentType: string): string {
  const semicolon = contentType.indexOf(";");
  return (semicolon < 0 ? contentType : contentType.slice(0, semicolon)).trim().toLowerCase();
}

/**
 * Layers that a registry need not hold: image-spec's non-distributable layers and Docker's foreign ones. "Implementations
 * SHOULD NOT upload layers tagged with this media type."
 */
const FOREIGN_LAYERS: ReadonlySet<string> = new Set([
  "application/vnd.oci.image.layer.nondistributable.v1.tar",
  "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
  "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
  "application/vnd.docker.image.rootfs.foreign.diff.tar",
  "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
]);

export function isForeignLayer(mediaType: string): boolean {
  return FOREIGN_LAYERS.has(mediaType);
}
