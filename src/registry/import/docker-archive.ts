/**
 * Reads an archive of `docker save` as docker wrote it before 25, and podman, kaniko and crane do: `manifest.json` names the
 * config and the layers of each image. Images get a manifest of Docker schema 2 of them; layers stay as they are.
 */
import type { TarArchive } from "../../lib/tar-archive.ts";
import { Digester, digestOf, parseDigest } from "../../oci/digest.ts";
import type { Digest } from "../../oci/digest.ts";
import { MAX_MANIFEST_SIZE } from "../../oci/manifest.ts";
import { DOCKER_MANIFEST } from "../../oci/media-type.ts";
import { bytesOf, fieldsOf, itemsOf, listIn, tarFiles } from "./image-files.ts";
import { imageNameOf } from "./image-name.ts";
import { SourceError } from "./image-source.ts";
import type { ArchivedImage, ImageArchive, ImageSource } from "./image-source.ts";

const CONFIG_TYPE = "application/vnd.docker.container.image.v1+json";
const LAYER_TYPE = "application/vnd.docker.image.rootfs.diff.tar";

/** Manifests are kept in memory. */
const MAX_IMAGES = 10_000;
const MAX_LAYERS = 1000;

export async function openDockerArchive(archive: TarArchive): Promise<ImageArchive> {
  const list = await listIn(tarFiles(archive), "manifest.json");
  if (!Array.isArray(list) || list.length > MAX_IMAGES) {
    throw new SourceError(`its manifest.json is no list of up to ${MAX_IMAGES} images`);
  }
  const manifests = new Map<Digest, Uint8Array>();
  const files = new Map<Digest, string>();
  const images: ArchivedImage[] = [];
  for (const each of itemsOf(list)) {
    const payload = await manifestOf(archive, fieldsOf(each), files);
    const digest = digestOf(payload);
    manifests.set(digest, payload);
    const names = itemsOf(fieldsOf(each)["RepoTags"]).map((name) => imageNameOf(String(name)));
    for (const name of names.length > 0 ? names : [{}]) images.push({ ...name, digest });
  }
  return { source: sourceOf(archive, manifests, files), images };
}

function sourceOf(
  archive: TarArchive,
  manifests: ReadonlyMap<string, Uint8Array>,
  files: ReadonlyMap<Digest, string>,
): ImageSource {
  return {
    async *tags() {
      // Its images are taken by digest.
    },
    manifest(_repository, reference) {
      const payload = manifests.get(reference);
      return Promise.resolve(payload && { payload, mediaType: DOCKER_MANIFEST });
    },
    digestOf: (_repository, reference) =>
      Promise.resolve(manifests.has(reference) ? parseDigest(reference) : undefined),
    async *blob(_repository, digest) {
      const file = files.get(digest);
      if (file === undefined) throw new SourceError(`${digest} is not there`);
      yield* archive.read(file);
    },
    referrers: () => Promise.resolve([]),
  };
}

/** Makes the manifest of an image; `files` gets where its blobs are. */
async function manifestOf(
  archive: TarArchive,
  { Config: configFile, Layers: layerFiles }: Readonly<Record<string, unknown>>,
  files: Map<Digest, string>,
): Promise<Uint8Array> {
  const config =
    typeof configFile === "string" ? await bytesOf(tarFiles(archive), configFile, MAX_MANIFEST_SIZE) : undefined;
  if (typeof configFile !== "string" || config === undefined) {
    throw new SourceError(`its manifest.json names the config ${String(configFile).slice(0, 200)}, which is not there`);
  }
  const configDigest = digestOf(config);
  const [said] = /[0-9a-f]{64}/.exec(configFile) ?? [];
  if (said !== undefined && configDigest !== `sha256:${said}`) throw new SourceError(`${configFile} is damaged`);
  files.set(configDigest, configFile);
  const names = itemsOf(layerFiles);
  if (names.length > MAX_LAYERS) throw new SourceError(`an image of it has more than ${MAX_LAYERS} layers`);
  const diffIds = itemsOf(fieldsOf(fieldsOf(parsed(config, configFile))["rootfs"])["diff_ids"]);
  if (diffIds.length !== names.length) {
    throw new SourceError(`an image of it has ${names.length} layers, and its config lists ${diffIds.length}`);
  }
  const layers = [];
  for (const [at, name] of names.entries()) {
    const layer = await layerOf(archive, String(name), diffIds[at]);
    files.set(layer.digest, String(name));
    layers.push(layer);
  }
  return Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: DOCKER_MANIFEST,
      config: { mediaType: CONFIG_TYPE, size: config.length, digest: configDigest },
      layers,
    }),
  );
}

function parsed(config: Uint8Array, file: string): unknown {
  try {
    return JSON.parse(Buffer.from(config).toString());
  } catch {
    throw new SourceError(`${file} is no JSON`);
  }
}

/** The digest of an archive that is not compressed is in the config ("DiffID"), and verified when the layer is copied. */
async function layerOf(archive: TarArchive, file: string, diffId: unknown) {
  const size = archive.size(file);
  if (size === undefined)
    throw new SourceError(`its manifest.json names the layer ${file.slice(0, 200)}, which is not there`);
  const suffix = await compressionOf(archive, file);
  const digest = suffix === "" && typeof diffId === "string" ? parseDigest(diffId) : await digestOfFile(archive, file);
  if (digest === undefined) throw new SourceError(`the config of an image lists a layer that is no digest`);
  return { mediaType: `${LAYER_TYPE}${suffix}`, size, digest };
}

async function compressionOf(archive: TarArchive, file: string): Promise<"" | ".gzip" | ".zstd"> {
  for await (const [first, second] of archive.read(file, { start: 0, end: 1 })) {
    if (first === 0x1f && second === 0x8b) return ".gzip";
    if (first === 0x28 && second === 0xb5) return ".zstd";
  }
  return "";
}

async function digestOfFile(archive: TarArchive, file: string): Promise<Digest | undefined> {
  const digester = Digester.of("sha256");
  for await (const piece of archive.read(file)) digester.update(piece);
  return digester.digest("sha256");
}
