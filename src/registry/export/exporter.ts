/** Copies images out of the registry into an OCI image layout, byte by byte, with their referrers. */
import { once } from "../../lib/byte-location.ts";
import { ignoreDeviations } from "../../oci/deviation.ts";
import type { Platform } from "../../oci/descriptor.ts";
import { algorithmOf, digestOf, parseDigest } from "../../oci/digest.ts";
import type { Digest } from "../../oci/digest.ts";
import { OciError } from "../../oci/error.ts";
import { readManifest } from "../../oci/manifest.ts";
import type { ManifestContent } from "../../oci/manifest.ts";
import { isForeignLayer } from "../../oci/media-type.ts";
import type { RepositoryName } from "../../oci/repository-name.ts";
import type { Tag } from "../../oci/tag.ts";
import { blobFile } from "../import/image-files.ts";
import type { Manifest } from "../manifests.ts";
import type { Namespace } from "../namespace.ts";
import type { Repository } from "../repository.ts";
import { ExportAbortedError, ExportError } from "./layout-writer.ts";
import type { IndexEntry, LayoutWriter } from "./layout-writer.ts";

export interface ExportOptions {
  /** Of this registry in the names of images, such as `localhost:5000`. */
  readonly host: string;
  readonly referrers: boolean;
  /** Whether images of several repositories may be in the layout: then their short names have the repository. */
  readonly severalRepositories: boolean;
  /** Also what `docker load` reads, for this platform alone. */
  readonly docker?: Platform | undefined;
  /** Called after each image and each blob. */
  readonly onStep?: (counts: ExportCounts) => void;
  /** Called when an image could not be copied; the others are. */
  readonly onFailure: (image: string, error: unknown) => void;
}

export interface ExportCounts {
  readonly images: number;
  readonly blobs: number;
  /** Of the blobs that were written. */
  readonly bytes: number;
  /** Blobs that were there already. */
  readonly unchanged: number;
  readonly failures: number;
}

/** What a tag or a digest names. */
export type ExportedReference = { readonly tag: Tag } | { readonly digest: Digest };

/** Indexes in indexes, and referrers of referrers, are followed so deep. */
const MAX_DEPTH = 8;
/** Entries of `index.json`: as many as an import reads. */
const MAX_ENTRIES = 100_000;
/** Digests that are known to be written; an archive has no more. */
const MAX_BLOBS = 1_000_000;

/** Annotations of entries (image-spec, annotations.md; containerd's image store). */
const REF_NAME = "org.opencontainers.image.ref.name";
const CONTAINERD_NAME = "io.containerd.image.name";

interface DockerImage {
  readonly Config: string;
  readonly RepoTags: readonly string[];
  readonly Layers: readonly string[];
}

export class Exporter {
  readonly #namespace: Namespace;
  readonly #writer: LayoutWriter;
  readonly #options: ExportOptions;
  readonly #written = new Set<Digest>();
  readonly #entries = new Map<string, IndexEntry>();
  readonly #dockerImages: DockerImage[] = [];
  counts: ExportCounts = { images: 0, blobs: 0, bytes: 0, unchanged: 0, failures: 0 };

  constructor(namespace: Namespace, writer: LayoutWriter, options: ExportOptions) {
    this.#namespace = namespace;
    this.#writer = writer;
    this.#options = options;
    for (const entry of writer.entries) this.#entries.set(keyOf(entry), entry);
  }

  /** Copies what all tags of a repository point at. */
  async repository(name: RepositoryName): Promise<void> {
    for await (const { name: tag } of this.#namespace.repository(name).tags.list()) await this.image(name, { tag });
  }

  /** Throws `ExportAbortedError`, and errors of the system about the target. */
  async image(name: RepositoryName, reference: ExportedReference): Promise<void> {
    const repository = this.#namespace.repository(name);
    const text = "tag" in reference ? `${name}:${reference.tag}` : `${name}@${reference.digest}`;
    try {
      const found = await this.#found(repository, reference);
      await this.#manifest(repository, found.digest);
      const full = `${this.#options.host}/${text}`;
      const short = "tag" in reference && (this.#options.severalRepositories ? text : reference.tag);
      const annotations = { ...(short !== false && { [REF_NAME]: short }), [CONTAINERD_NAME]: full };
      this.#list({ ...entryOf(found), annotations });
      if (this.#options.docker) this.#dockerImages.push(dockerImageOf(found, "tag" in reference ? [full] : []));
      this.#count({ images: 1 });
    } catch (error) {
      // All other errors are about the place that is written to.
      if (!(error instanceof ExportError || error instanceof OciError) || error instanceof ExportAbortedError)
        throw error;
      this.#count({ failures: 1 });
      this.#options.onFailure(text, error);
    }
  }

  /** Makes the layout complete. */
  async finish(): Promise<void> {
    const index = {
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.index.v1+json",
      manifests: [...this.#entries.values()],
    };
    const docker = this.#options.docker ? { "manifest.json": this.#dockerImages } : {};
    await this.#writer.finish({ ...docker, "index.json": index });
  }

  /** The manifest of an image; for docker that of its platform. */
  async #found({ manifests, tags }: Repository, reference: ExportedReference): Promise<Manifest> {
    const wanted = await ("tag" in reference ? tags.find(reference.tag) : manifests.find(reference.digest));
    if (!wanted) throw new ExportError("it is not there");
    const platform = this.#options.docker;
    if (!platform) return wanted;
    const { children } = contentOf(wanted);
    if (children.length === 0) return wanted;
    const [os, architecture] = [platform.os, platform.architecture];
    const child = children.find(
      (each) =>
        each.platform?.os === os &&
        each.platform.architecture === architecture &&
        (platform.variant === undefined || each.platform.variant === platform.variant),
    );
    const digest = child && parseDigest(child.digest);
    const found = digest && (await manifests.find(digest));
    if (!found) throw new ExportError(`it has no image for ${os}/${architecture}: choose one with --platform`);
    return found;
  }

  /** Copies a manifest, after all that it needs. */
  async #manifest(repository: Repository, digest: Digest, depth: number = 0): Promise<void> {
    if (depth > MAX_DEPTH) throw new ExportError(`indexes or referrers are nested more than ${MAX_DEPTH} deep`);
    const manifest = await repository.manifests.find(digest);
    if (!manifest) throw new ExportError(`it needs ${digest}, which is not in the repository`);
    const { config, layers, children } = contentOf(manifest);
    for (const { digest: said, mediaType, urls = [] } of [...(config ? [config] : []), ...layers]) {
      await this.#blob(repository, said, isForeignLayer(mediaType) || urls.length > 0);
    }
    for (const { digest: said } of children) {
      const child = parseDigest(said);
      if (child === undefined || !(await repository.manifests.exists(child))) await this.#blob(repository, said, true);
      else await this.#manifest(repository, child, depth + 1);
    }
    await this.#write(digest, manifest.size, once(manifest.payload));
    if (!this.#options.referrers || this.#options.docker) return;
    for await (const { digest: referrer } of repository.referrers.list(digest)) {
      const found = await repository.manifests.find(referrer);
      if (!found) continue; // deleted meanwhile
      await this.#manifest(repository, referrer, depth + 1);
      this.#list({ ...entryOf(found), artifactType: contentOf(found).artifactType });
    }
  }

  /** One that is optional lies elsewhere, such as a foreign layer and the platforms that a sparse index leaves out. */
  async #blob(repository: Repository, said: string, isOptional: boolean): Promise<void> {
    const digest = parseDigest(said);
    const blob = digest && (await repository.blobs.find(digest));
    if (blob) await this.#write(blob.digest, blob.size, blob.read());
    else if (!isOptional)
      throw new ExportError(`it needs ${said}, which is missing or corrupt here: see stowage check`);
  }

  async #write(digest: Digest, size: number, bytes: AsyncIterable<Uint8Array>): Promise<void> {
    if (this.#written.has(digest)) return;
    if (this.#written.size >= MAX_BLOBS)
      throw new ExportAbortedError(`there are more than ${MAX_BLOBS} blobs: export repositories in several parts`);
    const isThere = await this.#writer.has(digest, size);
    if (!isThere) await this.#writer.write(digest, size, bytes);
    this.#written.add(digest);
    this.#count(isThere ? { unchanged: 1 } : { blobs: 1, bytes: size });
  }

  #list(entry: IndexEntry): void {
    this.#entries.set(keyOf(entry), entry);
    if (this.#entries.size > MAX_ENTRIES) {
      throw new ExportAbortedError(`there are more than ${MAX_ENTRIES} images: export repositories in several parts`);
    }
  }

  #count(more: Partial<ExportCounts>): void {
    const added = Object.entries(more).map(([key, count]) => [key, this.counts[key as keyof ExportCounts] + count]);
    this.counts = { ...this.counts, ...(Object.fromEntries(added) as Partial<ExportCounts>) };
    this.#options.onStep?.(this.counts);
  }
}

/** What an entry of `index.json` is replaced by: its name, or the manifest when it has none. */
function keyOf({ digest, annotations }: IndexEntry): string {
  return annotations?.[CONTAINERD_NAME] ?? annotations?.[REF_NAME] ?? digest;
}

function entryOf({ mediaType, digest, size }: Manifest): IndexEntry {
  return { mediaType, digest, size };
}

/** Throws `ExportError` when the bytes are not those of its digest. */
function contentOf({ payload, mediaType, digest }: Manifest): ManifestContent {
  if (digestOf(payload, algorithmOf(digest)) !== digest) throw new ExportError(`the bytes of ${digest} are damaged`);
  return readManifest(payload, mediaType, ignoreDeviations);
}

/** As docker writes it beside a layout. */
function dockerImageOf(manifest: Manifest, names: readonly string[]): DockerImage {
  const { config, layers } = contentOf(manifest);
  if (!config) throw new ExportError("it is no image that docker can load");
  return { Config: fileOf(config.digest), RepoTags: names, Layers: layers.map(({ digest }) => fileOf(digest)) };
}

function fileOf(said: string): string {
  const digest = parseDigest(said);
  if (digest === undefined) throw new ExportError(`docker cannot load ${said}`);
  return blobFile(digest);
}
