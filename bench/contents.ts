/** What lies in every registry before the load begins: the same bytes in all of them. */
import { createHash, randomFillSync } from "node:crypto";
import { open } from "node:fs/promises";
import { join } from "node:path";
import {
  descriptorOf,
  digestOf,
  imageManifest,
  OCI_CONFIG,
  OCI_EMPTY,
  OCI_LAYER,
  OCI_MANIFEST,
} from "../test/support/content.ts";
import type { TestDescriptor } from "../test/support/content.ts";
import { PULLED_BLOB_BYTES } from "./replay/quantiles.ts";

export interface StoredBlob {
  readonly digest: string;
  readonly size: number;
  /** The file that holds the bytes. Links to it are made, but it is never written to. */
  readonly path: string;
}

export interface StoredManifest {
  readonly digest: string;
  readonly text: string;
  readonly tags: readonly string[];
}

/** A manifest about another one. */
export interface StoredReferrer extends StoredManifest {
  readonly subject: string;
  readonly artifactType: string;
}

export interface StoredRepository {
  readonly name: string;
  readonly blobs: readonly StoredBlob[];
  readonly manifests: readonly StoredManifest[];
  readonly referrers: readonly StoredReferrer[];
}

/** What rows may need, each in a repository or many of its own. The folder is for the files of blobs. */
const COLLECTIONS = {
  one: async (folder: string) => [await tagged("bench/one", 1, folder)],
  thousand: async (folder: string) => [await tagged("bench/thousand", 1000, folder)],
  many: async (folder: string) => [await tagged("bench/many", 100_000, folder)],
  blobs: async (folder: string) => [await layered("bench/bytes", [BLOB_BYTES.small, BLOB_BYTES.large], folder)],
  huge: async (folder: string) => [await layered("bench/huge", [BLOB_BYTES.huge], folder)],
  layers: async (folder: string) => [await layered("bench/layers", LAYER_BYTES, folder)],
  referrers: async (folder: string) => [
    await referred("bench/referred-1", 1, folder),
    await referred("bench/referred-5000", 5000, folder),
  ],
  repositories,
} as const satisfies Readonly<Record<string, (folder: string) => Promise<readonly StoredRepository[]>>>;

export type Collection = keyof typeof COLLECTIONS;

export const BLOB_BYTES = { small: 4096, large: 64 * 2 ** 20, huge: 2 ** 30 } as const;

/** Layers of an image: as big as what is pulled from a big registry. */
const LAYER_BYTES = [0.1, 0.25, 0.5, 0.65, 0.75, 0.8, 0.9, 0.95].map((share) => PULLED_BLOB_BYTES.at(share));

/** Where there are more tags than that, several of them point at one image. */
const MOST_IMAGES = 1000;

const PIECE_BYTES = 2 ** 20;

/** Makes collections, whose blobs are files below `folder`. */
export async function makeContents(
  collections: ReadonlySet<Collection>,
  folder: string,
): Promise<readonly StoredRepository[]> {
  const made: StoredRepository[] = [];
  for (const collection of collections) made.push(...(await COLLECTIONS[collection](folder)));
  return made;
}

/** The tag with this number in a repository of many. */
export function tagName(number: number): string {
  return `v${String(number).padStart(7, "0")}`;
}

async function tagged(name: string, tags: number, folder: string): Promise<StoredRepository> {
  const [config, layer] = [await textBlob(folder, `{"architecture":"amd64"}`), await randomBlob(folder, 4096)];
  const count = Math.min(tags, MOST_IMAGES);
  const all = Array.from({ length: tags }, (_, tag) => tagName(tag));
  const manifests = Array.from({ length: count }, (_, number) => {
    const annotations = { "org.opencontainers.image.version": `1.${number}` };
    const text = imageManifest(described(OCI_CONFIG, config), [described(OCI_LAYER, layer)], { annotations });
    return stored(
      text,
      all.filter((_tag, at) => at % count === number),
    );
  });
  return { name, blobs: [config, layer], manifests, referrers: [] };
}

/** One image with such layers. */
async function layered(name: string, sizes: readonly number[], folder: string): Promise<StoredRepository> {
  const config = await textBlob(folder, `{"architecture":"amd64"}`);
  const layers: StoredBlob[] = [];
  for (const size of sizes) layers.push(await randomBlob(folder, size));
  const text = imageManifest(
    described(OCI_CONFIG, config),
    layers.map((layer) => described(OCI_LAYER, layer)),
  );
  return { name, blobs: [config, ...layers], manifests: [stored(text, [tagName(0)])], referrers: [] };
}

async function referred(name: string, count: number, folder: string): Promise<StoredRepository> {
  const image = await tagged(name, 1, folder);
  const empty = await textBlob(folder, "{}");
  const subject = descriptorOf(OCI_MANIFEST, image.manifests[0]!.text);
  const artifactType = "application/vnd.example.sbom";
  const referrers = Array.from({ length: count }, (_, number) => {
    const more = { subject, artifactType, annotations: { number: String(number) } };
    const text = imageManifest(described(OCI_EMPTY, empty), [described(OCI_EMPTY, empty)], more);
    return { ...stored(text, []), subject: subject.digest, artifactType };
  });
  return { ...image, blobs: [...image.blobs, empty], referrers };
}

/** Ten thousand repositories with the same small image. */
async function repositories(folder: string): Promise<readonly StoredRepository[]> {
  const empty = await textBlob(folder, "{}");
  const manifest = stored(imageManifest(described(OCI_EMPTY, empty), [described(OCI_EMPTY, empty)]), [tagName(0)]);
  return Array.from({ length: 10_000 }, (_, number) => ({
    name: `team-${String(number % 100).padStart(2, "0")}/app-${number}`,
    blobs: [empty],
    manifests: [manifest],
    referrers: [],
  }));
}

function stored(text: string, tags: readonly string[]): StoredManifest {
  return { digest: digestOf(text), text, tags };
}

function described(mediaType: string, { digest, size }: StoredBlob): TestDescriptor {
  return { mediaType, digest, size };
}

async function textBlob(folder: string, text: string): Promise<StoredBlob> {
  const digest = digestOf(text);
  const path = join(folder, digest);
  await Bun.write(path, text);
  return { digest, size: Buffer.byteLength(text), path };
}

/** Bytes that do not compress, written and hashed piece by piece. */
async function randomBlob(folder: string, size: number): Promise<StoredBlob> {
  const path = join(folder, `random-${crypto.randomUUID()}`);
  const hash = createHash("sha256");
  await using file = await open(path, "w");
  for (let at = 0; at < size; at += PIECE_BYTES) {
    const piece = randomFillSync(Buffer.allocUnsafe(Math.min(PIECE_BYTES, size - at)));
    hash.update(piece);
    await file.writeFile(piece);
  }
  return { digest: `sha256:${hash.digest("hex")}`, size, path };
}
