/** A manifest as it was pushed: what the registry keeps of it beside its bytes. */
import type { Needed, NewManifest } from "../metadata/manifests.ts";
import { algorithmOf, digestOf } from "../oci/digest.ts";
import type { Digest } from "../oci/digest.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import type { OnDeviation } from "../oci/deviation.ts";
import { OciError } from "../oci/error.ts";
import { invalidManifest } from "../oci/invalid-manifest.ts";
import { checkClass } from "../oci/manifest-class.ts";
import { checkCount, readManifest } from "../oci/manifest.ts";
import type { ManifestContent } from "../oci/manifest.ts";
import { DOCKER_SCHEMA1_SIGNED, MANIFEST_SHAPES, isForeignLayer } from "../oci/media-type.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import { isSchema1, readSchema1 } from "../oci/schema1.ts";
import type { Tag } from "../oci/tag.ts";
import type { RegistryLimits } from "./backend.ts";
import { checkUrls } from "./manifest-urls.ts";

/** What its sender said of it. */
export interface PushTarget {
  readonly name: RepositoryName;
  readonly mediaType: string | undefined;
  readonly digest: Digest | undefined;
  readonly tags: readonly Tag[];
}

export type PushedManifest = Omit<NewManifest, "tags" | "condition">;

/**
 * Reads and checks all that can be checked without looking into the repository. Throws the refusal; `deviates` is told of
 * what is not as the spec has it and is taken all the same.
 */
export function readPushed(
  payload: Uint8Array,
  target: PushTarget,
  limits: RegistryLimits,
  deviates: OnDeviation,
): PushedManifest {
  if (isSchema1(payload, target.mediaType)) return readPushedSchema1(payload, target, limits);
  const digest = digestIn(payload, target);
  const content = readManifest(payload, target.mediaType, deviates, limits.descriptors);
  const { config, layers, children } = content;
  const layersKey = MANIFEST_SHAPES[content.mediaType] === "artifact" ? "blobs" : "layers";
  const { sparse, allowsUrl, mayBeMissing, classes } = limits;
  if (classes) checkClass(config, classes);
  if (allowsUrl) checkUrls(descriptorsIn(content, layersKey), allowsUrl);
  return {
    digest,
    payload,
    mediaType: content.mediaType,
    artifactType: content.artifactType,
    subject: content.subject?.digest,
    annotations: content.annotations && JSON.stringify(content.annotations),
    blobs: [
      ...(config ? [needed(config, "config", sparse)] : []),
      ...layers.map((layer, at) => needed(layer, `${layersKey}[${at}]`, sparse || isElsewhere(layer))),
    ],
    children: children.map((child, at) =>
      needed(child, `manifests[${at}]`, sparse || (mayBeMissing?.(child.platform) ?? false)),
    ),
    exactSizes: limits.strict,
  };
}

/** Its digest is that of what was signed; the bytes that are kept, and served, are those that came. */
function readPushedSchema1(payload: Uint8Array, target: PushTarget, limits: RegistryLimits): PushedManifest {
  if (!limits.schema1) {
    throw invalidManifest(
      "",
      "is of Docker schema 1, which this registry does not accept: push it with a newer client",
    );
  }
  const manifest = readSchema1(payload);
  checkCount("fsLayers", manifest.layers.length, limits.descriptors);
  const { name, tags } = target;
  if (manifest.name !== name) {
    throw new OciError("NAME_INVALID", {
      message: "the manifest was signed for another repository",
      detail: { name: manifest.name.slice(0, 256), expected: name },
    });
  }
  if (tags.some((tag) => tag !== manifest.tag)) {
    throw new OciError("TAG_INVALID", {
      message: "the manifest was signed for another tag",
      detail: { tag: manifest.tag.slice(0, 256), expected: tags },
    });
  }
  return {
    digest: digestIn(manifest.payload, target),
    payload,
    mediaType: DOCKER_SCHEMA1_SIGNED,
    artifactType: undefined,
    subject: undefined,
    annotations: undefined,
    // It does not say how large its layers are.
    blobs: manifest.layers.map((digest, at) => ({
      digest,
      size: undefined,
      optional: limits.sparse,
      path: `fsLayers[${at}].blobSum`,
    })),
    children: [],
    exactSizes: limits.strict,
  };
}

function digestIn(bytes: Uint8Array, { digest: expected }: PushTarget): Digest {
  const digest = digestOf(bytes, expected ? algorithmOf(expected) : "sha256");
  if (expected === undefined || expected === digest) return digest;
  throw new OciError("DIGEST_INVALID", {
    message: "the received manifest does not have this digest",
    detail: { digest: expected, received: digest },
  });
}

/** Foreign layers lie at their urls, not in this registry ("non-distributable"): they may be missing. */
export function isElsewhere({ mediaType, urls = [] }: Descriptor): boolean {
  return isForeignLayer(mediaType) || urls.some((url) => URL.canParse(url));
}

/** Everything that a manifest points at, each with its place in it. */
function* descriptorsIn(
  { config, layers, children, subject }: ManifestContent,
  layersKey: string,
): Generator<readonly [path: string, Descriptor]> {
  if (config) yield ["config", config];
  for (const [at, layer] of layers.entries()) yield [`${layersKey}[${at}]`, layer];
  for (const [at, child] of children.entries()) yield [`manifests[${at}]`, child];
  if (subject) yield ["subject", subject];
}

function needed({ digest, size }: Descriptor, path: string, optional: boolean): Needed {
  return { digest, size, optional, path };
}
