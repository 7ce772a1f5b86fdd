/** Writes an OCI image layout (https://github.com/opencontainers/image-spec/blob/main/image-layout.md). */
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";

export const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
export const INDEX = "application/vnd.oci.image.index.v1+json";
const CONFIG = "application/vnd.oci.image.config.v1+json";
const LAYER = "application/vnd.oci.image.layer.v1.tar+gzip";
const EMPTY = "application/vnd.oci.empty.v1+json";

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly artifactType?: string;
  readonly platform?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface Layer extends Descriptor {
  /** The digest of the archive before it was compressed. */
  readonly diffId: string;
}

/** What is attached to a manifest. */
export interface Attachment {
  /** The media type of the document, which is the type of the artifact too. */
  readonly mediaType: string;
  readonly document: object;
  readonly annotations: Readonly<Record<string, string>>;
}

export class OciLayout {
  readonly #folder: string;
  /** What index.json lists. */
  readonly #listed: Descriptor[] = [];

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** Begins a layout in a folder that is empty or not there. */
  static async create(folder: string): Promise<OciLayout> {
    await mkdir(join(folder, "blobs/sha256"), { recursive: true });
    await writeFile(join(folder, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
    return new OciLayout(folder);
  }

  /** Compresses a tar archive. The same archive gives the same bytes. */
  async addLayer(archive: string): Promise<Layer> {
    const [plain, compressed] = [hashing(), hashing()];
    const scratch = join(this.#folder, "layer.part");
    await pipeline(
      createReadStream(archive),
      plain.stream,
      createGzip({ level: 6 }),
      compressed.stream,
      createWriteStream(scratch),
    );
    const { digest, size } = compressed.result();
    await rename(scratch, this.#pathOf(digest));
    return { mediaType: LAYER, digest, size, diffId: plain.result().digest };
  }

  /** Writes an image: its configuration, without `rootfs`, and its layers. */
  async addImage(
    config: object,
    layers: readonly Layer[],
    annotations: Readonly<Record<string, string>>,
  ): Promise<Descriptor> {
    const rootfs = { type: "layers", diff_ids: layers.map(({ diffId }) => diffId) };
    return await this.addJson(MANIFEST, {
      schemaVersion: 2,
      mediaType: MANIFEST,
      config: await this.addJson(CONFIG, { ...config, rootfs }),
      layers: layers.map(({ mediaType, digest, size }) => ({ mediaType, digest, size })),
      annotations,
    });
  }

  /** Writes a manifest or an index as JSON, and whatever else is JSON. */
  async addJson(mediaType: string, content: object): Promise<Descriptor> {
    const bytes = Buffer.from(JSON.stringify(content));
    const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
    await writeFile(this.#pathOf(digest), bytes);
    return { mediaType, digest, size: bytes.length };
  }

  /** Attaches a document to a manifest, as a referrer ("Guidelines for Artifact Usage" of the image specification). */
  async attach(subject: Descriptor, { mediaType, document, annotations }: Attachment): Promise<void> {
    const { mediaType: subjectType, digest, size } = subject;
    const manifest = await this.addJson(MANIFEST, {
      schemaVersion: 2,
      mediaType: MANIFEST,
      artifactType: mediaType,
      config: await this.addJson(EMPTY, {}),
      layers: [await this.addJson(mediaType, document)],
      subject: { mediaType: subjectType, digest, size },
      annotations,
    });
    this.#listed.push({ ...manifest, artifactType: mediaType, annotations });
  }

  /** Lists a manifest under the names that it can be copied by. */
  tag(descriptor: Descriptor, ...tags: readonly string[]): void {
    for (const tag of tags) {
      this.#listed.push({ ...descriptor, annotations: { "org.opencontainers.image.ref.name": tag } });
    }
  }

  /** Writes index.json; to be called last. */
  async finish(): Promise<void> {
    const index = { schemaVersion: 2, mediaType: INDEX, manifests: this.#listed };
    await writeFile(join(this.#folder, "index.json"), JSON.stringify(index));
  }

  #pathOf(digest: string): string {
    return join(this.#folder, "blobs", digest.replace(":", "/"));
  }
}

/** A stream that passes everything on, and what it has seen in the end. */
function hashing() {
  const hash = createHash("sha256");
  let size = 0;
  const stream = new Transform({
    transform(chunk: Buffer, _, done) {
      hash.update(chunk);
      size += chunk.length;
      done(null, chunk);
    },
  });
  return { stream, result: () => ({ digest: `sha256:${hash.digest("hex")}`, size }) };
}
