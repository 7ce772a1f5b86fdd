/** What every client can do in a few words: something of its own goes to a registry, and comes back. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "bun:test";
import { pushImage } from "../../support/client.ts";
import { digestOf } from "../../support/content.ts";
import { wordsFor } from "./access.ts";
import { Client } from "./client.ts";
import type { ClientName } from "./clients.ts";
import { ContainerTools } from "./container-tools.ts";
import { DEBIAN, containerdSocketOf, startContainerd } from "./containerd.ts";
import type { ContainerdPrograms } from "./containerd.ts";
import { DockerEngine } from "./docker-engine.ts";
import { goClient } from "./go-clients.ts";
import { sumOf, writeRandomArchive } from "./image-files.ts";
import type { RandomArchive } from "./image-files.ts";
import { writeLayoutOf } from "./oci-layout.ts";
import { run } from "./programs.ts";
import type { Output } from "./programs.ts";
import { makeScratchFolder } from "./scratch-folder.ts";
import type { WatchedRegistry } from "./watched-registry.ts";

/** Where something goes, and by which name of the same registry it comes back: there another client may ask. */
export interface Places {
  readonly registry: WatchedRegistry;
  readonly to: string;
  readonly from: string;
}

/** Fails unless what went comes back. */
export type RoundTrip = (places: Places, resources: AsyncDisposableStack) => Promise<void>;

export const ROUND_TRIPS: Readonly<Record<string, RoundTrip>> = {
  async docker({ to, from }, resources) {
    const archive = await randomArchive(resources);
    const pusher = resources.use(await DockerEngine.start(to));
    await pusher.docker("import", archive.tar, `${to}/trip/docker:1.0`);
    await pusher.docker("push", `${to}/trip/docker:1.0`);
    const puller = resources.use(await DockerEngine.start(from));
    await puller.docker("pull", `${from}/trip/docker:1.0`);
    await puller.docker("create", "--name", "back", `${from}/trip/docker:1.0`, "none");
    await puller.docker("cp", `back:/${archive.name}`, `${archive.tar}.back`);
    expect(await sumOf(`${archive.tar}.back`)).toBe(archive.sum);
  },

  async podman({ to, from }, resources) {
    const archive = await randomArchive(resources);
    const pusher = resources.use(await ContainerTools.setUp({ registry: to }));
    await pusher.podman("import", archive.tar, `${to}/trip/podman:1.0`);
    await pusher.podman("push", `${to}/trip/podman:1.0`);
    const puller = resources.use(await ContainerTools.setUp({ registry: from }));
    await puller.podman("pull", `${from}/trip/podman:1.0`);
    await puller.podman("create", "--name", "back", `${from}/trip/podman:1.0`, "none");
    await puller.podman("cp", `back:/${archive.name}`, `${archive.tar}.back`);
    expect(await sumOf(`${archive.tar}.back`)).toBe(archive.sum);
  },

  async buildah({ to, from }, resources) {
    const archive = await randomArchive(resources);
    const pusher = resources.use(await ContainerTools.setUp({ registry: to }));
    const container = (await pusher.buildah("from", "scratch")).stdout.trim();
    await pusher.buildah("add", container, archive.tar, "/");
    await pusher.buildah("commit", container, `docker://${to}/trip/buildah:1.0`);
    const puller = resources.use(await ContainerTools.setUp({ registry: from }));
    const back = (await puller.buildah("from", `${from}/trip/buildah:1.0`)).stdout.trim();
    const root = (await puller.buildah("mount", back)).stdout.trim();
    expect(await sumOf(join(root, archive.name))).toBe(archive.sum);
    await puller.buildah("umount", back);
  },

  async skopeo({ to, from }, resources) {
    const { folder, manifest } = await tarLayout(resources);
    const pusher = resources.use(await ContainerTools.setUp({ registry: to }));
    await pusher.skopeo("copy", `oci:${folder}:one`, `docker://${to}/trip/skopeo:1.0`);
    const puller = resources.use(await ContainerTools.setUp({ registry: from }));
    await puller.skopeo("copy", `docker://${from}/trip/skopeo:1.0`, `oci:${folder}-back:one`);
    await expectInLayout(`${folder}-back`, manifest);
  },

  "ctr 1": (places, resources) => ctrTrip(places, resources, DEBIAN),

  "ctr 2": async (places, resources) => {
    const programs = { containerd: await goClient("containerd"), ctr: await goClient("ctr") };
    await ctrTrip(places, resources, programs);
  },

  async crane({ to, from }, resources) {
    const { folder, manifest } = await tarLayout(resources);
    const [pusher, puller] = await pairOf("crane", to, from, resources);
    await pusher.run("push", folder, `${to}/trip/crane:1.0`);
    await puller.run("pull", "--format", "oci", `${from}/trip/crane:1.0`, `${folder}-back`);
    await expectInLayout(`${folder}-back`, manifest);
  },

  async oras({ to, from }, resources) {
    const { folder, manifest } = await tarLayout(resources);
    const [pusher, puller] = await pairOf("oras", to, from, resources);
    await pusher.run("cp", "--from-oci-layout", `${folder}:one`, `${to}/trip/oras:1.0`);
    await puller.run("cp", "--to-oci-layout", `${from}/trip/oras:1.0`, `${folder}-back:one`);
    await expectInLayout(`${folder}-back`, manifest);
  },

  async regctl({ to, from }, resources) {
    const { folder, manifest } = await tarLayout(resources);
    const [pusher, puller] = await pairOf("regctl", to, from, resources);
    await pusher.run("image", "copy", `ocidir://${folder}:one`, `${to}/trip/regctl:1.0`);
    await puller.run("image", "copy", `${from}/trip/regctl:1.0`, `ocidir://${folder}-back:one`);
    await expectInLayout(`${folder}-back`, manifest);
  },

  async buildx({ registry, to, from }, resources) {
    const { digest } = await pushImage(registry.url, "trip/buildx", "image", "buildx");
    const [pusher, puller] = await pairOf("buildx", to, from, resources);
    await pusher.run("imagetools", "create", "--tag", `${to}/trip/buildx:1.0`, `${to}/trip/buildx:image`);
    expect(await puller.says("imagetools", "inspect", `${from}/trip/buildx:1.0`)).toContain(digest);
  },

  async helm({ to, from }, resources) {
    const [pusher, puller] = await pairOf("helm", to, from, resources);
    await pusher.run("create", "app");
    await pusher.run("package", "app", "--version", "0.1.0");
    await pusher.run("push", "app-0.1.0.tgz", `oci://${to}/trip/charts`);
    await puller.run("pull", `oci://${from}/trip/charts/app`, "--version", "0.1.0");
    expect(await sumOf(puller.file("app-0.1.0.tgz"))).toBe(await sumOf(pusher.file("app-0.1.0.tgz")));
  },

  cosign2: (places, resources) => cosignTrip(places, resources, "cosign2", ["--tlog-upload=false"]),

  cosign3: (places, resources) =>
    cosignTrip(places, resources, "cosign3", ["--use-signing-config=false", "--tlog-upload=false"]),

  async notation({ registry, to, from }, resources) {
    const { digest } = await pushImage(registry.url, "trip/notation", "1.0", "notation");
    const [pusher, puller] = await pairOf("notation", to, from, resources);
    await pusher.run("cert", "generate-test", "--default", "stowage.test");
    await pusher.run("sign", "--force-referrers-tag=false", `${to}/trip/notation@${digest}`);
    const [signature] = await registry.referrers("trip/notation", digest);
    expect(await puller.says("list", `${from}/trip/notation@${digest}`)).toContain(signature?.digest ?? "none");
  },

  async "oras-py"({ to, from }, resources) {
    const [pusher, puller] = await pairOf("oras-py", to, from, resources);
    const archive = await writeRandomArchive(pusher.folder);
    await pusher.run("push", `${to}/trip/oras-py:1.0`, nameOf(archive.tar));
    await puller.run("pull", `${from}/trip/oras-py:1.0`, puller.file("back"));
    expect(await sumOf(puller.file(`back/${nameOf(archive.tar)}`))).toBe(await sumOf(archive.tar));
  },

  async "sigstore-oci"({ registry, to, from }, resources) {
    const { digest } = await pushImage(registry.url, "trip/sigstore", "1.0", "sigstore");
    const [pusher, puller] = await pairOf("sigstore-oci", to, from, resources);
    await writeFile(pusher.file("bundle.json"), "{}");
    await pusher.run("attach", `${to}/trip/sigstore@${digest}`, "bundle.json", "application/vnd.example+json");
    expect(await registry.referrers("trip/sigstore", digest)).toHaveLength(1);
    expect(await puller.says("digest", `${from}/trip/sigstore:1.0`)).toBe(digest);
  },

  async wkg({ to, from }, resources) {
    const [pusher, puller] = await pairOf("wkg", to, from, resources);
    await writeFile(pusher.file("empty.wasm"), Buffer.from("\0asm\x0d\0\x01\0", "latin1"));
    await pusher.run("oci", "push", `${to}/trip/wkg:1.0.0`, "empty.wasm");
    await puller.run("oci", "pull", `${from}/trip/wkg:1.0.0`, "-o", puller.file("back.wasm"));
    expect(await sumOf(puller.file("back.wasm"))).toBe(await sumOf(pusher.file("empty.wasm")));
  },
};

async function ctrTrip(
  { to, from }: Places,
  resources: AsyncDisposableStack,
  programs: ContainerdPrograms,
): Promise<void> {
  const { folder, manifest } = await tarLayout(resources);
  await run("tar", ["-C", folder, "-cf", `${folder}.tar`, "."]);
  const home = resources.use(await makeScratchFolder()).path;
  resources.use(await startContainerd(home, programs));
  const ctr = (registry: string, ...words: readonly string[]): Promise<Output> =>
    run(programs.ctr, ["--address", containerdSocketOf(home), ...wordsFor("ctr", words, registry)]);
  const [image, back] = [`${to}/trip/ctr:1.0`, `${from}/trip/ctr:1.0`];
  await ctr(to, "images", "import", "--all-platforms", "--no-unpack", "--base-name", "base", `${folder}.tar`);
  await ctr(to, "images", "tag", "base:one", image);
  await ctr(to, "images", "push", image);
  await ctr(to, "images", "remove", "--sync", "base:one", image);
  await ctr(from, "images", "pull", "--snapshotter", "native", "--all-platforms", back);
  const { stdout } = await ctr(from, "images", "list");
  expect(stdout).toContain(digestOf(manifest));
}

async function cosignTrip(
  { registry, to, from }: Places,
  resources: AsyncDisposableStack,
  name: "cosign2" | "cosign3",
  offline: readonly string[],
): Promise<void> {
  const { digest } = await pushImage(registry.url, `trip/${name}`, "1.0", name);
  const [pusher, puller] = await pairOf(name, to, from, resources, { COSIGN_PASSWORD: "" });
  await pusher.run("generate-key-pair");
  await pusher.run("sign", "--yes", "--key", "cosign.key", ...offline, `${to}/trip/${name}@${digest}`);
  const key = ["--key", pusher.file("cosign.pub"), "--insecure-ignore-tlog=true"];
  await puller.run("verify", ...key, `${from}/trip/${name}@${digest}`);
}

/** One that goes there and one that comes back, who know nothing of each other. */
async function pairOf(
  name: ClientName,
  to: string,
  from: string,
  resources: AsyncDisposableStack,
  more: Readonly<Record<string, string>> = {},
): Promise<readonly [pusher: Client, puller: Client]> {
  const pusher = resources.use(await Client.of(name, { name: to }, more));
  return [pusher, resources.use(await Client.of(name, { name: from }, more))];
}

async function randomArchive(resources: AsyncDisposableStack): Promise<RandomArchive> {
  return await writeRandomArchive(resources.use(await makeScratchFolder()).path);
}

/** A layout with one image under the name `one`, whose layer is an archive that can be unpacked. */
async function tarLayout(resources: AsyncDisposableStack): Promise<{ folder: string; manifest: string }> {
  const scratch = resources.use(await makeScratchFolder()).path;
  const archive = await writeRandomArchive(scratch);
  const folder = join(scratch, "layout");
  return { folder, manifest: await writeLayoutOf(new Uint8Array(await readFile(archive.tar)), folder) };
}

async function expectInLayout(folder: string, manifest: string): Promise<void> {
  expect(await readFile(join(folder, "blobs", digestOf(manifest).replace(":", "/")), "utf8")).toBe(manifest);
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
