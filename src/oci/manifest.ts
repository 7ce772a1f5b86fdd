/** Manifests (image-spec, manifest.md and image-index.md; Docker schema 2): what a registry reads in them. */
import type { Annotations, Descriptor } from "./descriptor.ts";
import { optional, optionalMember, readAnnotations, readArtifactType, readDescriptor } from "./descriptor.ts";
import type { OnDeviation } from "./deviation.ts";
import { invalidManifest } from "./invalid-manifest.ts";
import { parseManifestObject } from "./manifest-object.ts";
import {
  DOCKER_LIST,
  DOCKER_MANIFEST,
  MANIFEST_SHAPES,
  OCI_INDEX,
  OCI_MANIFEST,
  essenceOf,
  isManifestMediaType,
} from "./media-type.ts";
import type { ManifestMediaType, ManifestShape } from "./media-type.ts";

/** Bytes. The spec: a registry "SHOULD" take at least 4 MiB; clients read no more than that. */
export const MAX_MANIFEST_SIZE: number = 4 * 1024 * 1024;

/** The parts of a manifest that a registry needs. The original bytes are stored beside it and served. */
export interface ManifestContent {
  readonly mediaType: ManifestMediaType;
  readonly config?: Descriptor;
  /** The layers of an image, the blobs of an artifact manifest. */
  readonly layers: readonly Descriptor[];
  /** The manifests of an index. */
  readonly children: readonly Descriptor[];
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

type Fields = Readonly<Record<string, unknown>>;

/**
 * Reads a manifest that came with the `Content-Type` essence `declared` (undefined when there was none). Throws
 * `MANIFEST_INVALID`, which names the place, when it cannot be taken; `deviates` is told of what is not as the spec has it
 * and is taken all the same. Unknown properties are left alone. No list may have more than `maxDescriptors`.
 */
export function readManifest(
  bytes: Uint8Array,
  declared: string | undefined,
  deviates: OnDeviation,
  maxDescriptors: number = Infinity,
): ManifestContent {
  const fields = parseManifestObject(bytes);
  refuseOtherSpellings(fields);
  const mediaType = mediaTypeOf(fields, declared, deviates);
  const shape = MANIFEST_SHAPES[mediaType];
  for (const key of FOREIGN_KEYS[shape]) {
    if (optionalMember(fields, key, "", deviates) !== undefined)
      throw invalidManifest(key, `must not be in a manifest of type ${mediaType}`);
  }
  // The withdrawn artifact manifest has no schemaVersion. "This REQUIRED property … MUST be 2" for all others.
  if (shape !== "artifact" && fields["schemaVersion"] !== 2) throw invalidManifest("schemaVersion", "must be 2");

  const isTypeKnown = declared !== undefined || Boolean(fields["mediaType"]);
  const list: ListReader = (key, isOptional) => readList(fields, key, isOptional, maxDescriptors, deviates);
  const config = shape === "image" ? readDescriptor(fields["config"], "config", deviates) : undefined;
  const ownType = readArtifactType(fields, "", deviates);
  return {
    mediaType,
    ...optional("config", config),
    layers: layersOf(shape, fields, isTypeKnown, list),
    children: shape === "index" ? list("manifests", isTypeKnown) : [],
    ...optional("subject", subjectOf(fields, deviates)),
    ...optional("artifactType", ownType ?? (config?.mediaType || undefined)),
    ...optional("annotations", readAnnotations(fields, "", deviates)),
  };
}

/** What this reader looks for at the top of a manifest. */
const KNOWN_KEYS: ReadonlyMap<string, string> = new Map(
  ["schemaVersion", "mediaType", "artifactType", "config", "layers", "manifests", "blobs", "fsLayers", "subject"].map(
    (key) => [folded(key), key],
  ),
);

/** Readers in Go take `Layers` for `layers`: they would see layers where this one sees none. */
function refuseOtherSpellings(fields: Fields): void {
  for (const key of Object.keys(fields)) {
    const known = KNOWN_KEYS.get(folded(key));
    if (known !== undefined && known !== key) throw invalidManifest(key, `must be written ${known}`);
  }
}

/** As Go's JSON compares keys: `K` (the sign for kelvin) is k there, and `ſ` is s. */
function folded(key: string): string {
  return key.toUpperCase().toLowerCase();
}

function mediaTypeOf(fields: Fields, declared: string | undefined, deviates: OnDeviation): ManifestMediaType {
  const inside = readOwnType(fields, deviates);
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

/** The type that a manifest says of itself, without parameters; undefined when it says none. */
function readOwnType(fields: Fields, deviates: OnDeviation): string | undefined {
  const value = optionalMember(fields, "mediaType", "", deviates);
  if (value === undefined) return undefined;
  if (typeof value !== "string") throw invalidManifest("mediaType", "must be a string");
  const mediaType = essenceOf(value);
  if (mediaType === "") deviates("mediaType", "should not be empty: leave it out");
  else if (mediaType !== value) deviates("mediaType", "should have no parameters");
  return mediaType === "" ? undefined : mediaType;
}

/** Reads the list of descriptors under a key. */
type ListReader = (key: string, isOptional: boolean) => readonly Descriptor[];

function layersOf(shape: ManifestShape, fields: Fields, isTypeKnown: boolean, list: ListReader): readonly Descriptor[] {
  switch (shape) {
    case "image":
      return list("layers", isTypeKnown);
    case "artifact":
      return fields["blobs"] === undefined ? [] : list("blobs", true);
    case "index":
      return [];
  }
}

/** A list of descriptors; when it is optional, its absence is a deviation and counts as an empty list. */
function readList(
  fields: Fields,
  key: string,
  isOptional: boolean,
  maxDescriptors: number,
  deviates: OnDeviation,
): readonly Descriptor[] {
  const value = fields[key];
  if (isOptional && (value === undefined || value === null)) {
    deviates(key, "should be a list (it may be empty)");
    return [];
  }
  if (!Array.isArray(value)) throw invalidManifest(key, "must be a list of descriptors");
  checkCount(key, value.length, maxDescriptors);
  return value.map((item, at) => readDescriptor(item, `${key}[${at}]`, deviates));
}

/** Refuses a list of a manifest that has more descriptors than a registry takes. */
export function checkCount(key: string, count: number, max: number): void {
  if (count > max) {
    throw invalidManifest(key, `has ${count} descriptors, and this registry takes at most ${max} (limits.descriptors)`);
  }
}

function subjectOf(fields: Fields, deviates: OnDeviation): Descriptor | undefined {
  const subject = optionalMember(fields, "subject", "", deviates);
  return subject === undefined ? undefined : readDescriptor(subject, "subject", deviates);
}
