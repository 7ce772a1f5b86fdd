/** What a list says of a manifest after reading it: what it is, for which platforms, and how many bytes a pull of it takes. */
import type { Descriptor, Platform } from "../../oci/descriptor.ts";
import { classOf } from "../../oci/manifest-class.ts";
import { readManifest } from "../../oci/manifest.ts";
import type { ManifestContent } from "../../oci/manifest.ts";

export interface ImageSummary {
  readonly kind: "image" | "index" | "artifact";
  /** Such as `linux/arm64/v8`; of an index those of its images, without attestations. */
  readonly platforms: readonly string[];
  /** Bytes of the manifest, of what it names, and of an index's images; undefined when some of these are not here. */
  readonly bytes: number | undefined;
}

/** Bytes of a manifest that lists read. */
export const MAX_READ_BYTES: number = 256 * 1024;

/** What is read in a manifest; undefined when it is of a type that is only passed on (Docker's schema 1). */
export function contentOf(payload: Uint8Array, mediaType: string): ManifestContent | undefined {
  try {
    return readManifest(payload, mediaType, () => undefined);
  } catch {
    return undefined; // it was taken as it is, by rules that were others then
  }
}

/** `os/architecture/variant`; undefined when the descriptor does not say it. */
export function platformText(platform: Platform | undefined): string | undefined {
  if (platform === undefined || platform.os === "" || platform.architecture === "") return undefined;
  const { os, architecture, variant } = platform;
  return [os, architecture, ...(variant === undefined ? [] : [variant])].join("/");
}

/** Whether an entry of an index is no image but an attestation of BuildKit. */
export function isAttestation({ annotations, platform }: Descriptor): boolean {
  return annotations?.["vnd.docker.reference.type"] === "attestation-manifest" || platform?.os === "unknown";
}

/** Which manifest an attestation is about; undefined when it does not say so. */
export function attestedBy({ annotations }: Descriptor): string | undefined {
  return annotations?.["vnd.docker.reference.digest"];
}

export function kindOf(content: ManifestContent | undefined): ImageSummary["kind"] {
  if (content === undefined) return "image";
  if (content.children.length > 0 || content.mediaType.includes("index") || content.mediaType.includes("list")) {
    return "index";
  }
  return content.config && classOf(content.config.mediaType) === "image" ? "image" : "artifact";
}

/** Bytes of a manifest with its config and layers. */
export function bytesOf(manifestBytes: number, { config, layers }: ManifestContent): number {
  return layers.reduce((sum, { size }) => sum + size, manifestBytes + (config?.size ?? 0));
}
