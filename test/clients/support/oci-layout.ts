/** An OCI image layout on disk, written here rather than by a client, so that a client's habits cannot hide in it. */
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "bun:test";
import { OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST } from "../../support/content.ts";
import { bytesOf, descriptorOf, digestOf, imageIndex, imageManifest } from "../../support/content.ts";
import type { TestDescriptor } from "../../support/content.ts";
import type { ImageFiles } from "./image-files.ts";
import { run } from "./programs.ts";

const SMALL_LAYER_BYTES = 200_000;

/** A layout with an index for two platforms under the name `all` and the image of each under the platform's name. */
export interface OciLayout {
  readonly folder: string;
  readonly index: string;
  /** The text of each platform's manifest. */
  readonly images: ReadonlyMap<string, string>;
}

export async function writeOciLayout(files: ImageFiles, folder: string): Promise<OciLayout> {
  await mkdir(join(folder, "blobs/sha256"), { recursive: true });
  const shared = [await readFile(join(files.context, "base.tar")), await archive(files, "noise.bin", "srv/noise.bin")];
  shared.push(await archive(files, "share", "usr/share"));
  const images = new Map<string, string>();
  const children: TestDescriptor[] = [];
  for (const architecture of ["amd64", "arm64"]) {
    // Each platform has the shared layers and one of its own.
    await files.release(architecture);
    const tars = [...shared, await archive(files, "release", "srv/release")];
    const layers: TestDescriptor[] = [];
    for (const tar of tars) layers.push(await writeBlob(folder, OCI_LAYER, Bun.gzipSync(new Uint8Array(tar))));
    const config = JSON.stringify({
      architecture,
      os: "linux",
      config: { Cmd: ["/bin/busybox"] },
      history: tars.map((_, at) => ({ created: "2020-01-01T00:00:00Z", created_by: `layer ${at}` })),
      rootfs: { type: "layers", diff_ids: tars.map((tar) => digestOf(tar)) },
    });
    const manifest = imageManifest(await writeBlob(folder, OCI_CONFIG, config), layers);
    const child = await writeBlob(folder, OCI_MANIFEST, manifest);
    images.set(architecture, manifest);
    children.push({ ...child, platform: { os: "linux", architecture } });
  }
  const index = imageIndex(children);
  const entries = [named(await writeBlob(folder, OCI_INDEX, index), "all")];
  for (const child of children)
    entries.push(named(child, (child["platform"] as { architecture: string }).architecture));
  await writeIndex(folder, entries);
  return { folder, index, images };
}

/** A layout with one small image under the name `one`, which depends on `seed` alone; gives the image's manifest. */
export function writeSmallLayout(seed: string, folder: string): Promise<string> {
  return writeLayoutOf(bytesOf(seed, SMALL_LAYER_BYTES), folder);
}

/** A layout with an image of one layer under the name `one`; gives the image's manifest. */
export async function writeLayoutOf(layer: Uint8Array<ArrayBuffer>, folder: string): Promise<string> {
  await mkdir(join(folder, "blobs/sha256"), { recursive: true });
  const config = { architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: [digestOf(layer)] } };
  const manifest = imageManifest(await writeBlob(folder, OCI_CONFIG, JSON.stringify(config)), [
    await writeBlob(folder, OCI_LAYER, Bun.gzipSync(layer)),
  ]);
  await writeIndex(folder, [named(await writeBlob(folder, OCI_MANIFEST, manifest), "one")]);
  return manifest;
}

/** Unpacks an image's gzip layers in `folder`, one over the other, into `root`. */
export async function unpackLayers(
  layers: readonly { readonly digest: string }[],
  fileOf: (hex: string) => string,
  root: string,
): Promise<void> {
  await mkdir(root, { recursive: true });
  for (const { digest } of layers) await run("tar", ["-xzf", fileOf(digest.slice("sha256:".length)), "-C", root]);
}

/** Fails unless each blob of a layout has the bytes that its name promises. */
export async function expectSoundBlobs(folder: string): Promise<void> {
  const names = await readdir(join(folder, "blobs/sha256"));
  expect(names.length).toBeGreaterThan(0);
  for (const name of names) {
    expect(digestOf(await readFile(join(folder, "blobs/sha256", name)))).toBe(`sha256:${name}`);
  }
}

async function writeIndex(folder: string, entries: readonly TestDescriptor[]): Promise<void> {
  await writeFile(join(folder, "index.json"), imageIndex(entries));
  await writeFile(join(folder, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
}

async function writeBlob(folder: string, mediaType: string, bytes: Uint8Array | string): Promise<TestDescriptor> {
  const descriptor = descriptorOf(mediaType, bytes);
  await writeFile(join(folder, "blobs", descriptor.digest.replace(":", "/")), bytes);
  return descriptor;
}

function named(descriptor: TestDescriptor, name: string): TestDescriptor {
  return { ...descriptor, annotations: { "org.opencontainers.image.ref.name": name } };
}

/** A tar of one file or folder of the build context, at its place in the image. */
async function archive(files: ImageFiles, name: string, path: string): Promise<Buffer> {
  const target = join(files.context, `../${name}.tar`);
  const rename = `--transform=flags=r;s,^${name},${path},`;
  await run("tar", ["--sort=name", "-C", files.context, rename, "-cf", target, name]);
  return await readFile(target);
}
