/**
 * Fills data folders for `bench/stalls.ts`: `tools/bun bench/support/large-registry.ts FOLDER [SHARE]`, where SHARE is a part
 * of the full size, such as 0.01. About two minutes and 8 GiB.
 *
 *   FOLDER/large    100,000 repositories, 500,000 images, 1,500,000 tags, 1,100,000 blobs, and repositories that are large
 *                   in one way each
 *                   in one way each; a blob of 3 GiB in a file without blocks, which takes no room on the disk
 *   FOLDER/inline   1,500 blobs of 1 MiB, all in the database
 */
import { mkdir, open, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { seed } from "../../test/stalls/support/seeder.ts";

/** How much of each kind there is. */
export interface Sizes {
  readonly repositories: number;
  readonly listedTags: number;
  readonly tagsOfDigest: number;
  readonly manyTagsOfDigest: number;
  readonly referrers: number;
  readonly history: number;
  readonly unreferenced: number;
  readonly sharers: number;
  readonly inlineBlobs: number;
}

export function sizesOf(share: number): Sizes {
  const part = (size: number): number => Math.ceil(size * share);
  return {
    repositories: part(100_000),
    listedTags: part(300_000),
    tagsOfDigest: part(100_000),
    manyTagsOfDigest: part(1_000_000),
    referrers: part(100_000),
    history: part(300_000),
    unreferenced: part(100_000),
    sharers: part(20_000),
    inlineBlobs: part(1500),
  };
}

/** The tag that the first image of each repository has. */
export const FIRST_TAG = "v0-0";

/** The repository of that number among those that are alike. */
export function repositoryOf(at: number): string {
  return `load/app/${String(at).padStart(7, "0")}`;
}

export async function fillLarge(folder: string, sizes: Sizes): Promise<void> {
  await seed(folder, (seeder) => {
    seeder.images({ prefix: "load/app", repositories: sizes.repositories, images: 5, tags: 3, layers: 2 });
    const oneImage: readonly [repository: string, tags: number][] = [
      ["large/listed", sizes.listedTags],
      ["large/deleted", sizes.listedTags],
      ["large/tags", sizes.tagsOfDigest],
      ["large/more-tags", sizes.manyTagsOfDigest],
    ];
    for (const [repository, tags] of oneImage) {
      seeder.image(repository, "v0");
      seeder.tags(repository, FIRST_TAG, tags);
    }
    seeder.image("large/referrers", "v0");
    seeder.referrers({ repository: "large/referrers", tag: FIRST_TAG, count: sizes.referrers });
    seeder.image("large/history", "v0");
    seeder.history("large/history", FIRST_TAG, sizes.history);
    seeder.blobs({ repository: "large/unreferenced", count: sizes.unreferenced });
    seeder.sharedBlob({ prefix: "large/sharers", repositories: sizes.sharers });
  });
}

export const LARGE_BLOB_BYTES = 3 * 2 ** 30;

const LARGE_BLOB_KEY = "blobs/large";

/** The digest of so many bytes of zero, a multiple of a MiB. */
export function zerosDigest(bytes: number): string {
  const hash = new Bun.CryptoHasher("sha256");
  const piece = new Uint8Array(2 ** 20);
  for (let at = 0; at < bytes; at += piece.length) hash.update(piece);
  return `sha256:${hash.digest("hex")}`;
}

export async function addLargeBlob(folder: string): Promise<void> {
  const path = join(folder, LARGE_BLOB_KEY);
  await mkdir(dirname(path), { recursive: true });
  await using file = await open(path, "w");
  await file.truncate(LARGE_BLOB_BYTES);
  const { mtimeMs } = await stat(path);
  const digest = zerosDigest(LARGE_BLOB_BYTES);
  await seed(folder, (seeder) =>
    seeder.storedBlob("large/blob", digest, LARGE_BLOB_KEY, { size: LARGE_BLOB_BYTES, mtimeMs }),
  );
}

export async function fillInline(folder: string, sizes: Sizes): Promise<void> {
  await seed(folder, (seeder) => {
    seeder.image("inline/app", "v0");
    seeder.blobs({ repository: "inline/app", count: sizes.inlineBlobs, bytes: 2 ** 20 });
  });
}

if (import.meta.main) {
  const [folder = "", share = "1"] = process.argv.slice(2);
  const sizes = sizesOf(Number(share));
  await fillLarge(join(folder, "large"), sizes);
  await addLargeBlob(join(folder, "large"));
  await fillInline(join(folder, "inline"), sizes);
}
