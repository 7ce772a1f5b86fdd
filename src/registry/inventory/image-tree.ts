/** What is in an index or an image, as people look at it: attestations with their image, layers with the commands that made them. */
import type { ManifestSummary } from "../../metadata/inventory.ts";
import type { Descriptor } from "../../oci/descriptor.ts";
import type { ManifestContent } from "../../oci/manifest.ts";
import type { Tag } from "../../oci/tag.ts";
import type { ImageConfig } from "./image-config.ts";
import { attestedBy, isAttestation } from "./image-summary.ts";
import type { ImageSummary } from "./image-summary.ts";

/** An entry of an index. */
export interface Child {
  readonly descriptor: Descriptor;
  /** Whether the repository has it: an index may be sparse. */
  readonly isHere: boolean;
  /** Bytes that a pull of it takes; undefined when it was not read. */
  readonly bytes: number | undefined;
}

/** An image of an index, with the attestations that are about it. */
export interface ChildImage extends Child {
  readonly attestations: readonly Child[];
}

export interface ManifestTree extends ManifestSummary, ImageSummary {
  /** The first tags that point at it. */
  readonly tagNames: readonly Tag[];
  /** Undefined when it could not be read: Docker's schema 1. */
  readonly content: ManifestContent | undefined;
  readonly children: readonly ChildImage[];
  /** Attestations that are about no image of the index. */
  readonly attestations: readonly Child[];
}

/** A line of the history of an image. */
export interface ImageLine {
  /** The command that made it; undefined when the config does not say it. */
  readonly command: string | undefined;
  readonly comment: string | undefined;
  readonly created: string | undefined;
  /** Undefined for a line that only changed the config. */
  readonly layer: (Descriptor & { readonly users: number | undefined }) | undefined;
}

export interface ImageDetails {
  readonly configDigest: string | undefined;
  /** Undefined when it is not here, or could not be read. */
  readonly config: ImageConfig | undefined;
  /** The base first. */
  readonly lines: readonly ImageLine[];
}

/** Returns the entries of an index, each attestation with its image. */
export function foldedChildren(
  descriptors: readonly Descriptor[],
  here: ReadonlySet<string>,
  bytes: ReadonlyMap<string, number>,
): Pick<ManifestTree, "children" | "attestations"> {
  const childOf = (descriptor: Descriptor): Child => ({
    descriptor,
    isHere: here.has(descriptor.digest),
    bytes: bytes.get(descriptor.digest),
  });
  const images = descriptors.filter((each) => !isAttestation(each));
  const named = new Set(images.map(({ digest }) => digest));
  const byImage = new Map<string, Child[]>();
  for (const each of descriptors) {
    if (!isAttestation(each)) continue;
    const of = attestedBy(each);
    const key = of !== undefined && named.has(of) ? of : "";
    byImage.set(key, [...(byImage.get(key) ?? []), childOf(each)]);
  }
  return {
    children: images.map((each) => ({
      ...childOf(each),
      attestations: byImage.get(each.digest) ?? [],
    })),
    attestations: byImage.get("") ?? [],
  };
}

/**
 * Returns the lines of the history with the layers that they made. A config whose history does not fit its layers says nothing
 * of them: then there is a line for each layer alone.
 */
export function linesOf(
  layers: readonly Descriptor[],
  config: ImageConfig | undefined,
  users: readonly number[],
): readonly ImageLine[] {
  const history = config?.history ?? [];
  const shown = layers.map((layer, at) => ({ ...layer, users: users[at] }));
  if (history.filter(({ isEmptyLayer }) => !isEmptyLayer).length !== layers.length) {
    return shown.map((layer) => ({ command: undefined, comment: undefined, created: undefined, layer }));
  }
  let next = 0;
  return history.map(({ createdBy, comment, created, isEmptyLayer }) => ({
    command: createdBy,
    comment,
    created,
    layer: isEmptyLayer ? undefined : shown[next++],
  }));
}
