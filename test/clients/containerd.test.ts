/** Containerd's own client, as Debian ships it: the library by which Kubernetes and newer dockers pull and push. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { digestOf } from "../support/content.ts";
import { wordsFor } from "./support/access.ts";
import { ContainerTools } from "./support/container-tools.ts";
import { containerdSocketOf, startContainerd } from "./support/containerd.ts";
import { ImageFiles } from "./support/image-files.ts";
import { writeOciLayout } from "./support/oci-layout.ts";
import type { OciLayout } from "./support/oci-layout.ts";
import { requirePrograms, run, runToFailure } from "./support/programs.ts";
import type { Output } from "./support/programs.ts";
import { makeScratchFolder } from "./support/scratch-folder.ts";
import { WatchedRegistry } from "./support/watched-registry.ts";
import { blobReadsIn, mountsIn, uploadsIn } from "./support/wire.ts";

const resources = new AsyncDisposableStack();
let registry: WatchedRegistry;
let files: ImageFiles;
let layout: OciLayout;
let folder: string;

beforeAll(async () => {
  requirePrograms("busybox", "containerd", "ctr", "skopeo", "tar", "umount");
  folder = resources.use(await makeScratchFolder()).path;
  registry = resources.use(await WatchedRegistry.start());
  resources.use(await startContainerd(folder));
  files = await ImageFiles.gather(folder);
  layout = await writeOciLayout(files, join(folder, "layout"));
  const tools = resources.use(await ContainerTools.setUp({ registry: registry.name }));
  await tools.skopeo("copy", "--all", `oci:${layout.folder}:all`, `docker://${registry.name}/ctr/given:1.0`);
});

afterAll(() => resources.disposeAsync());

describe("ctr images pull and ctr images push", () => {
  test("an index for two platforms is pulled whole and holds the same files", async () => {
    const image = `${registry.name}/ctr/given:1.0`;
    await pull(image, "--all-platforms");
    expect(await digestIn(image)).toBe(digestOf(layout.index));
    const root = join(folder, "root");
    await mkdir(root);
    await ctr("images", "mount", "--snapshotter", "native", "--platform", "linux/arm64", image, root);
    await files.expectIn(root);
    await ctr("images", "unmount", "--rm", root);
  });

  test("a second pull fetches nothing", async () => {
    const image = `${registry.name}/ctr/given:1.0`;
    await pull(image);
    const requests = await registry.wire.during(() => pull(image));
    expect(blobReadsIn(requests)).toEqual([]);
  });

  test("an index is pushed into a new repository, and pushed again without an upload", async () => {
    const [from, to] = [`${registry.name}/ctr/given:1.0`, `${registry.name}/ctr/pushed:1.0`];
    await pull(from, "--all-platforms");
    await ctr("images", "tag", from, to);
    const first = await registry.wire.during(() => push(to));
    expect(uploadsIn(first).length + mountsIn(first).length).toBeGreaterThan(0);
    expect((await registry.getManifest("ctr/pushed", "1.0")).text).toBe(layout.index);
    const second = await registry.wire.during(() => push(to));
    expect(uploadsIn(second)).toEqual([]);
  });

  test("an image is pulled by its digest", async () => {
    const digest = digestOf(layout.images.get("amd64") ?? "");
    const image = `${registry.name}/ctr/given@${digest}`;
    await pull(image);
    expect(await digestIn(image)).toBe(digest);
  });
});

describe("what goes wrong", () => {
  test("a tag that is not there is said not to be found", async () => {
    const words = wordsFor("ctr", ["images", "pull", `${registry.name}/ctr/given:2.0`], registry.name);
    const failed = await runToFailure("ctr", [...address(), ...words]);
    expect(failed.stderr).toContain("not found");
  });

  test("the registry answered nothing with a fault of its own", () => {
    expect(registry.wire.exchanges.length).toBeGreaterThan(0);
    registry.expectNoFaults();
  });
});

function address(): readonly string[] {
  return ["--address", containerdSocketOf(folder)];
}

function ctr(...words: readonly string[]): Promise<Output> {
  return run("ctr", [...address(), ...wordsFor("ctr", words, registry.name)]);
}

async function pull(image: string, ...words: readonly string[]): Promise<void> {
  await ctr("images", "pull", "--snapshotter", "native", ...words, image);
}

async function push(image: string): Promise<void> {
  await ctr("images", "push", image);
}

async function digestIn(image: string): Promise<string> {
  const { stdout } = await ctr("images", "list", `name==${image}`);
  return /sha256:[0-9a-f]{64}/.exec(stdout.split("\n")[1]?.slice(image.length) ?? "")?.[0] ?? "";
}
