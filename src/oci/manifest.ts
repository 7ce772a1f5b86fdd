/** Manifests (image-spec, manifest.md and image-index.md; Docker schema 2): what a registry reads in them. */
import type { Annotations, Descriptor } from "./descriptor.ts";
import { optional, readAnnotations, readArtifactType, readDescriptor } from "./descriptor.ts";
import { invalidManifest } from "./invalid-manifest.ts";
import { parseManifestObject } from "./manifest-object.ts";
import {
  DOCKER_LIST,
  DOCKER_MANIFEST,
  MANIFEST_SHAPES,
  OCI_INDEX,
  OCI_MANIFEST,
  isManifestMediaType,
} from "./media-type.ts";
import type { ManifestMediaType, ManifestShape } from "./media-type.ts";

/** Bytes. The spec: a registry "SHOULD" take at least 4 MiB; clients read no more than that. */
export const MAX_MANIFEST_SIZE: number = 4 * 1024 * 1024;

/** What a manifest says, as far as it concerns a registry. Its bytes are kept beside it, never made again from it. */
export interface ManifestContent {
  readonly mediaType: ManifestMediaType;
  /** Config and layers of an image, blobs of an artifact: content of the blob store. */
  readonly blobs: readonly Descriptor[];
  /** The manifests of an index. */
  readonly children: readonly Descriptor[];
  readonly config?: Descriptor;
  readonly subject?: Descriptor;
  /** What the referrers list shows: its own, else an image's config type (distribution-spec, "Listing Referrers"). */
  readonly artifactType?: string;
  readonly annotations?: Annotations;
}

/** The properties that each shape must not have, lest one document be read as two things (CVE-2021-41190). */
const FOREIGN_KEYS: Readonly<Record<ManifestShape, readonly string[]>> = {
  image: ["manifests", "fsLayers"],
  index: ["config", "layers", "fsLayers"],
  artifact: ["config", "layers", "manifests", "fsLayers"],
};

/**
 * Reads a manifest that came with the `Content-Type` essence `declared` (undefined when there was none). Refused with
 * `MANIFEST_INVALID`, which names the place, when it is not what it should be. Unknown properties are left alone.
 */
export function readManifest(bytes: Uint8Array, declared: string | undefined): ManifestContent {
  const fields = parseManifestObject(bytes);
  const mediaType = mediaTypeOf(fields, declared);
  const shape = MANIFEST_SHAPES[mediaType];
  for (const key of FOREIGN_KEYS[shape]) {
    if (fields[key] !== undefined) throw invalidManifest(key, `must not be in a manifest of type ${mediaType}`);
  }
  // The withdrawn artifact manifest has no schemaVersion. "This REQUIRED property … MUST be 2" for all others.
  if (shape !== "artifact" && fields["schemaVersion"] !== 2) throw invalidManifest("schemaVersion", "must be 2");

  const config = shape === "image" ? readDescriptor(fields["config"], "config") : undefined;
  const ownType = readArtifactType(fields["artifactType"], "artifactType");
  return {
    mediaType,
    blobs: blobsOf(shape, fields, config),
    children: shape === "index" ? readList(fields["manifests"], "manifests") : [],
    ...optional("config", config),
    ...optional("subject", subjectOf(fields)),
    ...optional("artifactType", ownType ?? config?.mediaType),
    ...optional("annotations", readAnnotations(fields["annotations"], "annotations")),
  };
}

function mediaTypeOf(fields: Readonly<Record<string, unknown>>, declared: string | undefined): ManifestMediaType {
  const inside = fields["mediaType"];
  if (inside !== undefined && typeof inside !== "string") throw invalidManifest("mediaType", "must be a string");
  const mediaType = declared ?? inside ?? (Array.isArray(fields["manifests"]) ? OCI_INDEX : OCI_MANIFEST);
  if (!isManifestMediaType(mediaType)) {
    throw invalidManifest(
      "mediaType",
      `is "${mediaType.slice(0, 128)}", and this registry takes ${Object.keys(MANIFEST_SHAPES).join(", ")}`,
    );
  }
  // "the media type in the manifest … MUST match the Content-Type header" (distribution-spec, "Pushing Manifests").
  if (inside !== undefined && inside !== mediaType) {
    throw invalidManifest("mediaType", `must be ${mediaType}, as the Content-Type header says`);
  }
  if (inside === undefined && (mediaType === DOCKER_MANIFEST || mediaType === DOCKER_LIST)) {
    throw invalidManifest("mediaType", `must be ${mediaType}: Docker's manifests name their own type`);
  }
  return mediaType;
}

function blobsOf(
  shape: ManifestShape,
  fields: Readonly<Record<string, unknown>>,
  config: Descriptor | undefined,
): readonly Descriptor[] {
  switch (shape) {
    case "image":
      return [...(config ? [config] : []), ...readList(fields["layers"], "layers")];
    case "artifact":
      return fields["blobs"] === undefined ? [] : readList(fields["blobs"], "blobs");
    case "index":
      return [];
  }
}

function readList(value: unknown, path: string): readonly Descriptor[] {
  if (!Array.isArray(value)) throw invalidManifest(path, "must be a list of descriptors");
  return value.map((item, at) => readDescriptor(item, `${path}[${at}]`));
}

function subjectOf(fields: Readonly<Record<string, unknown>>): Descriptor | undefined {
  const subject = fields["subject"];
  return subject === undefined ? undefined : readDescriptor(subject, "subject");
}
