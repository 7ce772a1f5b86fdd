/** Reads an OCI image layout (image-spec, image-layout.md). */
import { digestOf, algorithmOf, parseDigest } from "../../oci/digest.ts";
import type { Digest } from "../../oci/digest.ts";
import { MAX_MANIFEST_SIZE } from "../../oci/manifest.ts";
import { MANIFEST_SHAPES } from "../../oci/media-type.ts";
import { parseTag } from "../../oci/tag.ts";
import { blobFile, bytesOf, fieldsOf, itemsOf, listIn } from "./image-files.ts";
import type { ImageFiles } from "./image-files.ts";
import { imageNameOf } from "./image-name.ts";
import type { ImageName } from "./image-name.ts";
import { SourceError } from "./image-source.ts";
import type { ArchivedImage, ImageArchive, ImageSource, SourceManifest } from "./image-source.ts";

/** Indexes in indexes are followed so deep. */
const MAX_DEPTH = 8;

/** image-spec, annotations.md: "the name of the reference for a target". */
const REF_NAME = "org.opencontainers.image.ref.name";
/** What containerd and docker call it, in full. */
const CONTAINERD_NAME = "io.containerd.image.name";

export async function openImageLayout(files: ImageFiles): Promise<ImageArchive> {
  const { imageLayoutVersion } = fieldsOf(await listIn(files, "oci-layout")) as { imageLayoutVersion?: unknown };
  if (typeof imageLayoutVersion !== "string" || !imageLayoutVersion.startsWith("1.")) {
    throw new SourceError("its oci-layout says no version that is known here (1.0.0)");
  }
  const layout = new ImageLayout(files);
  const images: ArchivedImage[] = [];
  for (const each of itemsOf(fieldsOf(await listIn(files, "index.json"))["manifests"])) {
    const { digest: said, annotations } = fieldsOf(each);
    const digest = typeof said === "string" ? parseDigest(said) : undefined;
    if (digest === undefined) {
      throw new SourceError(
        `its index.json names ${String(said).slice(0, 100)}, which is no digest (sha256 or sha512)`,
      );
    }
    const subject = await layout.visit(digest);
    const name = nameIn(fieldsOf(annotations));
    // One without a name that belongs to another comes with that.
    if (name === undefined && subject !== undefined && (await files.size(blobFile(subject))) !== undefined) continue;
    images.push({ ...name, digest });
  }
  return { source: layout, images };
}

function nameIn(annotations: Readonly<Record<string, unknown>>): ImageName | undefined {
  const [full, short] = [annotations[CONTAINERD_NAME], annotations[REF_NAME]];
  const { repository, tag } = typeof full === "string" ? imageNameOf(full) : {};
  if (typeof short !== "string") return full === undefined ? undefined : { repository, tag };
  const isTag = parseTag(short) !== undefined;
  const named = isTag ? { tag: parseTag(short) } : imageNameOf(short);
  return { repository: repository ?? named.repository, tag: tag ?? named.tag };
}

class ImageLayout implements ImageSource {
  readonly #files: ImageFiles;
  /** By subject. */
  readonly #referrers = new Map<Digest, Digest[]>();
  readonly #visited = new Set<Digest>();

  constructor(files: ImageFiles) {
    this.#files = files;
  }

  /** Notes which subject a manifest, and those in an index, refer to; returns the manifest's own. */
  async visit(digest: Digest, depth: number = 0): Promise<Digest | undefined> {
    const manifest = depth <= MAX_DEPTH ? await this.#manifest(digest) : undefined;
    if (!manifest) return undefined;
    const said = fieldsOf(manifest.fields["subject"])["digest"];
    const subject = typeof said === "string" ? parseDigest(said) : undefined;
    if (this.#visited.has(digest)) return subject;
    this.#visited.add(digest);
    if (subject !== undefined) this.#referrers.set(subject, [...(this.#referrers.get(subject) ?? []), digest]);
    for (const each of itemsOf(manifest.fields["manifests"])) {
      const child = fieldsOf(each)["digest"];
      const parsed = typeof child === "string" ? parseDigest(child) : undefined;
      if (parsed !== undefined && !this.#visited.has(parsed)) await this.visit(parsed, depth + 1);
    }
    return subject;
  }

  async *tags(): AsyncGenerator<string> {
    // Its images are taken by digest.
  }

  async manifest(_repository: string, reference: string): Promise<SourceManifest | undefined> {
    const digest = parseDigest(reference);
    const found = digest === undefined ? undefined : await this.#manifest(digest);
    return found && { payload: found.payload, mediaType: undefined };
  }

  async digestOf(_repository: string, reference: string): Promise<Digest | undefined> {
    const digest = parseDigest(reference);
    return digest !== undefined && (await this.#manifest(digest)) ? digest : undefined;
  }

  async *blob(_repository: string, digest: Digest): AsyncGenerator<Uint8Array> {
    const name = blobFile(digest);
    if ((await this.#files.size(name)) === undefined) throw new SourceError(`${digest} is not there`);
    yield* this.#files.read(name);
  }

  referrers(_repository: string, subject: Digest): Promise<readonly Digest[]> {
    return Promise.resolve(this.#referrers.get(subject) ?? []);
  }

  /** Undefined when it is not there, or is something else than a manifest, such as a layer in an index of BuildKit's cache. */
  async #manifest(digest: Digest) {
    const name = blobFile(digest);
    const size = await this.#files.size(name);
    if (size === undefined || size > MAX_MANIFEST_SIZE) return undefined;
    const payload = (await bytesOf(this.#files, name, MAX_MANIFEST_SIZE)) ?? new Uint8Array();
    if (payload[0] !== 0x7b) return undefined; // {
    if (digestOf(payload, algorithmOf(digest)) !== digest)
      throw new SourceError(`${digest} has other bytes: it is damaged`);
    const fields = fieldsOf(await listIn(this.#files, name));
    const { mediaType, schemaVersion } = fields as { mediaType?: unknown; schemaVersion?: unknown };
    const isManifest = typeof mediaType === "string" ? Object.hasOwn(MANIFEST_SHAPES, mediaType) : schemaVersion === 2;
    return isManifest ? { payload, fields } : undefined;
  }
}
