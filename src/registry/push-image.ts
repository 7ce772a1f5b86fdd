/** Pushes small images that a program makes itself: what a test suite's registry is seeded with. */
import { Readable } from "node:stream";
import { gunzipSync } from "node:zlib";
import { tarOf } from "../lib/tar.ts";
import { digestOf } from "../oci/digest.ts";
import type { Digest } from "../oci/digest.ts";
import type { Platform } from "../oci/descriptor.ts";
import { OCI_INDEX, OCI_MANIFEST } from "../oci/media-type.ts";
import { repositoryName } from "../oci/repository-name.ts";
import { tag } from "../oci/tag.ts";
import type { Tag } from "../oci/tag.ts";
import type { PutManifest } from "./manifests.ts";
import type { Namespace } from "./namespace.ts";
import type { Repository } from "./repository.ts";

/** A layer: an archive as it is (tar, or tar in gzip), or the files to make one of, by their paths. */
export type ImageLayer = Uint8Array | Readonly<Record<string, string | Uint8Array>>;

export interface ImageOptions {
  /** One layer with one small file when absent. */
  readonly layers?: readonly ImageLayer[];
  /** As `linux/amd64` or `linux/arm64/v8`; more than one gives an index of images. `linux/amd64` when absent. */
  readonly platforms?: readonly string[];
  /** What the image's configuration holds under `config`: `Env`, `Cmd`, `Labels` and so on. */
  readonly config?: Readonly<Record<string, unknown>>;
  readonly annotations?: Readonly<Record<string, string>>;
  /** Makes it an artifact of this type. */
  readonly artifactType?: string;
  /** The subject: the manifest among whose referrers it is. */
  readonly subject?: { readonly mediaType: string; readonly digest: string; readonly size: number };
}

/**
 * Pushes an image to `name`, such as `team/app:1.0`, `team/app:1.0,latest`, or `team/app` for one without a tag. Returns
 * its descriptor; that of the index when there are several platforms. The same options give the same digests. Throws
 * `OciError` when the name or a tag is invalid.
 */
export async function pushImage(namespace: Namespace, name: string, options: ImageOptions = {}): Promise<PutManifest> {
  const [repositoryText, tagText] = split(name);
  const repository = namespace.repository(repositoryName(repositoryText));
  const tags = tagText === undefined ? [] : tagText.split(",").map((each) => tag(each));
  const { platforms = ["linux/amd64"], annotations } = options;
  const [only] = platforms;
  if (only !== undefined && platforms.length === 1) return await pushSingle(repository, only, tags, options);
  const images = [];
  for (const platform of platforms) {
    const { mediaType, digest, size } = await pushSingle(repository, platform, [], options);
    images.push({ mediaType, digest, size, platform: platformOf(platform) });
  }
  const index = { schemaVersion: 2, mediaType: OCI_INDEX, manifests: images, ...(annotations && { annotations }) };
  return await putJson(repository, index, tags);
}

async function pushSingle(
  repository: Repository,
  platform: string,
  tags: readonly Tag[],
  { layers = [{ "etc/hostname": `${platform}\n` }], config, annotations, artifactType, subject }: ImageOptions,
): Promise<PutManifest> {
  const archives = layers.map((layer) => (layer instanceof Uint8Array ? layer : tarOf(layer)));
  const pushed = [];
  for (const archive of archives) pushed.push(await pushLayer(repository, archive));
  const settings = {
    ...platformOf(platform),
    config: config ?? {},
    rootfs: { type: "layers", diff_ids: pushed.map(({ diffId }) => diffId) },
  };
  const configBytes = encode(settings);
  const manifest = {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    ...(artifactType !== undefined && { artifactType }),
    config: {
      mediaType: "application/vnd.oci.image.config.v1+json",
      digest: await pushBlob(repository, configBytes),
      size: configBytes.length,
    },
    layers: pushed.map(({ descriptor }) => descriptor),
    ...(subject && { subject: { mediaType: subject.mediaType, digest: subject.digest, size: subject.size } }),
    ...(annotations && { annotations }),
  };
  return await putJson(repository, manifest, tags);
}

/** Pushes an archive, and returns its descriptor and the digest of what it holds unpacked (image-spec, config.md, "DiffID"). */
async function pushLayer(repository: Repository, archive: Uint8Array) {
  const zipped = archive[0] === 0x1f && archive[1] === 0x8b;
  const mediaType = `application/vnd.oci.image.layer.v1.tar${zipped ? "+gzip" : ""}`;
  const descriptor = { mediaType, digest: await pushBlob(repository, archive), size: archive.length };
  return { descriptor, diffId: zipped ? digestOf(gunzipSync(archive)) : descriptor.digest };
}

async function pushBlob(repository: Repository, bytes: Uint8Array): Promise<Digest> {
  const digest = digestOf(bytes);
  if (await repository.blobs.exists(digest)) return digest;
  const upload = await repository.blobs.upload();
  await upload.finish([digest], Readable.from([bytes]));
  return digest;
}

async function putJson(repository: Repository, manifest: object, tags: readonly Tag[]): Promise<PutManifest> {
  return await repository.manifests.put(encode(manifest), { tags });
}

function encode(value: object): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

function platformOf(text: string): Platform {
  const [os = "linux", architecture = "amd64", variant] = text.split("/");
  return { os, architecture, ...(variant !== undefined && { variant }) };
}

/** The repository and what stands behind the last colon: a port belongs to an address, which is not a part of a name here. */
function split(name: string): [repository: string, tags: string | undefined] {
  const colon = name.indexOf(":");
  return colon === -1 ? [name, undefined] : [name.slice(0, colon), name.slice(colon + 1)];
}
