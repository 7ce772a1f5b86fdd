/** Containerd 2 and its own client: what Kubernetes and docker 29 pull and push with. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { digestOf } from "../support/content.ts";
import { hostsToml } from "./support/access.ts";
import { Client } from "./support/client.ts";
import { containerdSocketOf, startContainerd } from "./support/containerd.ts";
import { goClient } from "./support/go-clients.ts";
import { ImageFiles } from "./support/image-files.ts";
import { writeOciLayout } from "./support/oci-layout.ts";
import type { OciLayout } from "./support/oci-layout.ts";
import { requirePrograms, run } from "./support/programs.ts";
import { makeScratchFolder } from "./support/scratch-folder.ts";
import { WatchedRegistry } from "./support/watched-registry.ts";
import { blobReadsIn, mountsIn, uploadsIn } from "./support/wire.ts";

/** A layer is fetched in ranges of this size, several at once. */
const RANGE_BYTES = 1 << 18;
const IN_RANGES = `[plugins."io.containerd.transfer.v1.local"]
max_concurrent_downloads = 4
concurrent_layer_fetch_buffer = ${RANGE_BYTES}
`;

const resources = new AsyncDisposableStack();
let registry: WatchedRegistry;
let ctr: Client;
let files: ImageFiles;
let layout: OciLayout;

beforeAll(async () => {
  requirePrograms("busybox", "tar", "umount");
  registry = resources.use(await WatchedRegistry.start());
  const containerd = await goClient("containerd");
  const folder = resources.use(await makeScratchFolder()).path;
  resources.use(await startContainerd(folder, { containerd, ctr: await goClient("ctr") }, IN_RANGES));
  ctr = resources.use(await Client.of("ctr", registry, { CONTAINERD_ADDRESS: containerdSocketOf(folder) }));
  files = await ImageFiles.gather(folder);
  layout = await writeOciLayout(files, join(folder, "layout"));
  await run("tar", ["-C", layout.folder, "-cf", ctr.file("layout.tar"), "."]);
});

afterAll(() => resources.disposeAsync());

/** The engine's transfer service, which is the default, and the client itself. */
const WAYS = [
  ["by the engine", []],
  ["by the client", ["--local"]],
] as const;

for (const [name, words] of WAYS) {
  const folder = `ctr2/${words.length === 0 ? "engine" : "client"}`;

  describe(`ctr images push and ctr images pull, ${name}`, () => {
    test("an index for two platforms goes to the registry and comes back with the same files", async () => {
      const image = at(`${folder}/app:1.0`);
      await pushed(image, words);
      expect((await registry.getManifest(`${folder}/app`, "1.0")).text).toBe(layout.index);
      const requests = await registry.wire.during(() => pulledAnew(image, words));
      expect(blobReadsIn(requests).length).toBeGreaterThan(files.layers);
      expect(await digestIn(image)).toBe(digestOf(layout.index));
      await expectFilesOf(image);
    });

    test("a second push uploads nothing, and a second pull fetches nothing", async () => {
      const image = at(`${folder}/twice:1.0`);
      await pushed(image, words);
      expect(uploadsIn(await registry.wire.during(() => pushed(image, words)))).toEqual([]);
      await pulledAnew(image, words);
      const again = await registry.wire.during(() => ctr.run("images", "pull", ...PULL, ...words, image));
      expect(blobReadsIn(again)).toEqual([]);
    });

    test("what is pushed into another repository is mounted", async () => {
      const [from, to] = [at(`${folder}/from:1.0`), at(`${folder}/to:1.0`)];
      await pushed(from, words);
      await pulledAnew(from, words);
      const requests = await registry.wire.during(() => ctr.run("images", "push", ...words, to, from));
      expect(mountsIn(requests).length).toBeGreaterThanOrEqual(files.layers);
      expect((await registry.getManifest(`${folder}/to`, "1.0")).text).toBe(layout.index);
    });

    test("an image is pulled by its digest", async () => {
      await pushed(at(`${folder}/digest:1.0`), words);
      const digest = digestOf(layout.images.get("amd64") ?? "");
      await pulledAnew(at(`${folder}/digest@${digest}`), words);
      expect(await digestIn(at(`${folder}/digest@${digest}`))).toBe(digest);
    });

    test("the registry is a mirror of another one", async () => {
      await pushed(at(`${folder}/mirrored:1.0`), words);
      await mkdir(ctr.file("hosts/docker.io"), { recursive: true });
      await writeFile(ctr.file("hosts/docker.io/hosts.toml"), hostsToml(registry.name));
      const image = `docker.io/${folder}/mirrored:1.0`;
      const requests = await registry.wire.during(() =>
        pulledAnew(image, ["--hosts-dir", ctr.file("hosts"), ...words]),
      );
      expect(requests.length).toBeGreaterThan(files.layers);
      expect(requests.filter(({ target }) => !target.includes("?ns=docker.io"))).toEqual([]);
      expect(await digestIn(image)).toBe(digestOf(layout.index));
      await expectFilesOf(image);
    });

    test("a tag that is not there is said not to be found", async () => {
      await pushed(at(`${folder}/unknown:1.0`), words);
      const failed = await ctr.fails("images", "pull", ...words, at(`${folder}/unknown:2.0`));
      expect(failed.stderr).toContain("not found");
    });
  });
}

test("a large layer is fetched in ranges, several at once", async () => {
  const image = at("ctr2/ranges:1.0");
  await pushed(image, []);
  const requests = await registry.wire.during(() => pulledAnew(image, []));
  const inRanges = blobReadsIn(requests).filter(({ headers }) => headers["range"] !== undefined);
  expect(inRanges.length).toBeGreaterThan(4);
  expect(new Set(inRanges.map(({ status }) => status))).toEqual(new Set([206]));
  await expectFilesOf(image);
});

describe("when the connection breaks in the middle of a layer", () => {
  test("a push succeeds when it is tried again", async () => {
    const image = at("ctr2/broken-push:1.0");
    await emptied(); // what the engine knows to be elsewhere in the registry it mounts from there
    registry.wire.cutRequest(({ method }) => method === "PUT", 1 << 20);
    const requests = await registry.wire.during(() => pushed(image, []).catch(() => pushed(image, [])));
    expect(requests.filter(({ method, status }) => method === "PUT" && status === 0)).not.toEqual([]);
    await pulledAnew(image, []);
    await expectFilesOf(image);
  });

  test("a pull goes on where it was", async () => {
    const image = at("ctr2/broken-pull:1.0");
    await pushed(image, ["--local"]);
    registry.wire.cutReply(({ method, target }) => method === "GET" && target.includes("/blobs/"), 1 << 20);
    const requests = await registry.wire.during(() => pulledAnew(image, ["--local"]));
    const resumed = requests.filter(({ headers }) => headers["range"] !== undefined);
    expect(resumed.map(({ status }) => status)).toEqual([206]);
    expect(resumed[0]?.headers["range"]).toMatch(/^bytes=[1-9]\d*-$/);
    await expectFilesOf(image);
  });
});

test("the registry answered nothing with a fault of its own", () => {
  expect(registry.wire.exchanges.length).toBeGreaterThan(0);
  registry.expectNoFaults();
});

const PULL = ["--snapshotter", "native", "--all-platforms"];

function at(reference: string): string {
  return `${registry.name}/${reference}`;
}

/** Pushes the layout's index, which the engine takes from an archive before. */
async function pushed(image: string, words: readonly string[]): Promise<void> {
  // The names become `base:all`, `base:amd64` and `base:arm64`.
  await ctr.run("images", "import", "--all-platforms", "--no-unpack", "--base-name", "base", ctr.file("layout.tar"));
  await ctr.run("images", "push", ...words, image, "base:all");
}

/** Pulls an image that the engine has nothing of. */
async function pulledAnew(image: string, words: readonly string[]): Promise<void> {
  await emptied();
  await ctr.run("images", "pull", ...PULL, ...words, image);
}

async function emptied(): Promise<void> {
  const names = (await ctr.says("images", "list", "--quiet")).split("\n");
  await ctr.run("images", "remove", "--sync", ...names);
}

async function digestIn(image: string): Promise<string> {
  const { stdout } = await ctr.run("images", "list", `name==${image}`);
  return /sha256:[0-9a-f]{64}/.exec(stdout.split("\n")[1]?.slice(image.length) ?? "")?.[0] ?? "";
}

async function expectFilesOf(image: string): Promise<void> {
  const root = ctr.file("root");
  await mkdir(root);
  await ctr.run("images", "mount", "--snapshotter", "native", "--platform", "linux/arm64", image, root);
  await files.expectIn(root);
  await ctr.run("images", "unmount", "--rm", root);
  await rm(root, { recursive: true });
}
