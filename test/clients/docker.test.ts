/** Docker's engine and client, as Debian ships them: what a user does with images, and what that asks of the registry. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DOCKER_LIST, DOCKER_MANIFEST } from "../support/content.ts";
import { DockerEngine } from "./support/docker-engine.ts";
import { ImageFiles, NOISE, RELEASE, sumOf, writeRandomArchive } from "./support/image-files.ts";
import type { RandomArchive } from "./support/image-files.ts";
import { requirePrograms, run } from "./support/programs.ts";
import { makeScratchFolder } from "./support/scratch-folder.ts";
import { WatchedRegistry } from "./support/watched-registry.ts";
import { blobReadsIn, mountsIn, uploadsIn } from "./support/wire.ts";
import type { Exchange } from "./support/wire.ts";

/** An image that most tests give a name of their own, because each build takes seconds. */
const BASE = "base:1.0";

const resources = new AsyncDisposableStack();
let registry: WatchedRegistry;
let engine: DockerEngine;
let files: ImageFiles;
let folder: string;

beforeAll(async () => {
  requirePrograms("busybox", "containerd", "docker", "dockerd", "tar", "umount");
  folder = resources.use(await makeScratchFolder()).path;
  registry = resources.use(await WatchedRegistry.start());
  engine = resources.use(await DockerEngine.start(registry.name));
  files = await ImageFiles.gather(folder);
  await build(BASE);
});

afterAll(() => resources.disposeAsync());

describe("docker push and docker pull", () => {
  test("an image of real files comes back by tag and by digest, with the same files", async () => {
    const image = `${registry.name}/docker/round-trip:1.0`;
    const other = await buildOther(image);
    const id = await idOf(image);
    const digest = await push(image);
    expect((await registry.getManifest("docker/round-trip", "1.0")).digest).toBe(digest);

    await engine.docker("rmi", image);
    const requests = await registry.wire.during(async () => {
      const { digest: pulled, text } = await pull(image);
      expect(pulled).toBe(digest);
      expect(text).toContain("Downloaded newer image");
    });
    expect(blobReadsIn(requests)).toHaveLength(files.layers + 1);
    expect(await idOf(image)).toBe(id);
    await expectFilesOf(image, other);

    await engine.docker("rmi", image);
    const byDigest = `${registry.name}/docker/round-trip@${digest}`;
    expect((await pull(byDigest)).digest).toBe(digest);
    expect(await idOf(byDigest)).toBe(id);
    await expectFilesOf(byDigest, other);
    await engine.docker("rmi", byDigest);
  });

  test("a second pull fetches nothing", async () => {
    const image = `${registry.name}/docker/pull-twice:1.0`;
    await engine.docker("tag", BASE, image);
    await push(image);
    let text = "";
    const requests = await registry.wire.during(async () => ({ text } = await pull(image)));
    expect(text).toContain("Image is up to date");
    expect(blobReadsIn(requests)).toEqual([]);
  });

  test("a second push uploads nothing", async () => {
    const image = `${registry.name}/docker/push-twice:1.0`;
    await engine.docker("tag", BASE, image);
    const digest = await push(image);
    let again = "";
    let text = "";
    const requests = await registry.wire.during(async () => ({ digest: again, text } = await pushed(image)));
    expect(again).toBe(digest);
    expect(text.match(/Layer already exists/g)).toHaveLength(files.layers);
    expect(uploadsIn(requests)).toEqual([]);
  });

  test("a new release uploads its changed layer alone, and the old one is still there by its digest", async () => {
    const image = `${registry.name}/docker/releases:latest`;
    await engine.docker("tag", BASE, image);
    const old = await push(image);
    const oldId = await idOf(image);
    await files.release("2.0");
    await build(image);
    let text = "";
    let fresh = "";
    const requests = await registry.wire.during(async () => ({ text, digest: fresh } = await pushed(image)));
    expect(fresh).not.toBe(old);
    expect(text.match(/Layer already exists/g)).toHaveLength(files.layers - 1);
    expect(text.match(/: Pushed/g)).toHaveLength(1);
    // The layer and the config.
    expect(uploadsIn(requests).filter(({ method }) => method === "PUT")).toHaveLength(2);

    await engine.docker("rmi", image);
    expect((await pull(image)).digest).toBe(fresh);
    await expectFilesOf(image);
    const byDigest = `${registry.name}/docker/releases@${old}`;
    await pull(byDigest);
    expect(await idOf(byDigest)).toBe(oldId);
    expect(await releaseIn(byDigest)).not.toBe(files.sum(RELEASE));
  });

  test("a push into another repository mounts the layers that the registry has", async () => {
    const [from, to] = [`${registry.name}/docker/mount-from:1.0`, `${registry.name}/docker/mounted/to:1.0`];
    await engine.docker("tag", BASE, from);
    const digest = await push(from);
    await engine.docker("tag", from, to);
    let text = "";
    const requests = await registry.wire.during(async () => ({ text } = await pushed(to)));
    expect(text.match(/Mounted from docker\//g)).toHaveLength(files.layers);
    expect(mountsIn(requests)).toHaveLength(files.layers);
    expect((await registry.getManifest("docker/mounted/to", "1.0")).digest).toBe(digest);
    await engine.docker("rmi", from, to);
    await pull(to);
    expect(await idOf(to)).toBe(await idOf(BASE));
  });

  test("all tags of a repository go and come at once", async () => {
    const repository = `${registry.name}/docker/all-tags`;
    await engine.docker("tag", BASE, `${repository}:1.0`);
    await engine.docker("tag", BASE, `${repository}:latest`);
    await files.release("2.0-rc.1");
    await build(`${repository}:2.0-rc.1`);
    const ids = new Map<string, string>();
    for (const tag of ["1.0", "2.0-rc.1", "latest"]) ids.set(tag, await idOf(`${repository}:${tag}`));
    await engine.docker("push", "--all-tags", repository);
    await engine.docker("rmi", ...[...ids.keys()].map((tag) => `${repository}:${tag}`));
    await engine.docker("pull", "--all-tags", repository);
    for (const [tag, id] of ids) expect(await idOf(`${repository}:${tag}`)).toBe(id);
    await expectFilesOf(`${repository}:2.0-rc.1`);
  });

  test("several images are pushed and pulled at the same time", async () => {
    const images = ["one", "two", "three"].map((name) => `${registry.name}/docker/at-once/${name}:1.0`);
    const ids = (await Promise.all(images.map((image) => importRandom(image)))).map(({ id }) => id);
    const digests = await Promise.all(images.map((image) => push(image)));
    await engine.docker("rmi", ...images);
    const pulled = await Promise.all(images.map((image) => pull(image)));
    expect(pulled.map(({ digest }) => digest)).toEqual(digests);
    expect(await Promise.all(images.map((image) => idOf(image)))).toEqual(ids);
  });

  test("a pulled image runs", async () => {
    const image = `${registry.name}/docker/running:1.0`;
    await engine.docker("tag", BASE, image);
    await push(image);
    await engine.docker("rmi", image);
    const { stdout } = await engine.docker(
      "run",
      "--rm",
      "--network=none",
      image,
      "/bin/busybox",
      "sha256sum",
      `/${NOISE}`,
    );
    expect(stdout).toBe(`${files.sum(NOISE)}  /${NOISE}\n`);
  });

  test("an image is still there after the registry has been started anew", async () => {
    const image = `${registry.name}/docker/restart:1.0`;
    const { id } = await importRandom(image);
    const digest = await push(image);
    await engine.docker("rmi", image);
    await registry.restart();
    expect((await pull(image)).digest).toBe(digest);
    expect(await idOf(image)).toBe(id);
  });
});

describe("docker manifest", () => {
  test("a list for two platforms gives each platform its image", async () => {
    const repository = `${registry.name}/docker/list`;
    const list = `${repository}:1.0`;
    const context = await mkdtemp(join(folder, "list-"));
    const { name } = await writeRandomArchive(context);
    const [digests, ids] = [new Map<string, string>(), new Map<string, string>()];
    for (const platform of ["amd64", "arm64"]) {
      await writeFile(join(context, "Dockerfile"), `FROM scratch\nCOPY ${name} /${platform}\n`);
      const image = `${repository}/${platform}:1.0`;
      await engine.docker("build", "--quiet", "--platform", `linux/${platform}`, "--tag", image, context);
      digests.set(platform, await push(image));
      ids.set(platform, await idOf(image));
    }
    const images = [...digests.keys()].map((platform) => `${repository}/${platform}:1.0`);
    await engine.docker("manifest", "create", list, ...images);
    // The images are in repositories of their own, so their layers and configs are mounted into that of the list.
    let printed = "";
    const requests = await registry.wire.during(async () => {
      ({ stdout: printed } = await engine.docker("manifest", "push", "--purge", list));
    });
    expect(mountsIn(requests)).toHaveLength(4);

    const served = await registry.getManifest("docker/list", "1.0");
    expect(served.digest).toBe(printed.trim().split("\n").at(-1) ?? "");
    expect(served.mediaType).toBe(DOCKER_LIST);
    const children = (served.json.manifests ?? []).map(({ platform, ...child }) => [
      platform?.architecture,
      child.digest,
    ]);
    expect(new Map(children as [string, string][])).toEqual(digests);
    const inspected = await engine.docker("manifest", "inspect", list);
    expect(JSON.parse(inspected.stdout)).toEqual(served.json);

    for (const [platform, child] of digests) {
      await engine.docker("pull", "--platform", `linux/${platform}`, list);
      const { stdout } = await engine.docker("image", "inspect", "--format", "{{.Architecture}}", list);
      expect(stdout.trim()).toBe(platform);
      expect(await idOf(list)).toBe(ids.get(platform) ?? "");
      const inRepository = await registry.getManifest("docker/list", child);
      expect(inRepository.mediaType).toBe(DOCKER_MANIFEST);
      await engine.docker("rmi", list);
    }
  });
});

describe("what goes wrong", () => {
  test("a push whose connection breaks in the middle of a layer is tried again and succeeds", async () => {
    const image = `${registry.name}/docker/broken-push:1.0`;
    const { id } = await importRandom(image, 4 << 20);
    registry.wire.cutRequest(({ method }) => method === "PATCH", 2 << 20);
    let digest = "";
    const requests = await registry.wire.during(async () => (digest = await push(image)));
    const large = requests.filter(({ method, sent }) => method === "PATCH" && sent >= 2 << 20);
    expect(large.map(({ status }) => status)).toEqual([0, 202]);
    await engine.docker("rmi", image);
    // The engine checks the bytes of each layer against the identity of the image.
    expect((await pull(image)).digest).toBe(digest);
    expect(await idOf(image)).toBe(id);
  });

  test("a pull whose connection breaks in the middle of a layer goes on where it was", async () => {
    const image = `${registry.name}/docker/broken-pull:1.0`;
    const { id, archive } = await importRandom(image, 4 << 20);
    const digest = await push(image);
    await engine.docker("rmi", image);
    const [layer] = (await registry.getManifest("docker/broken-pull", "1.0")).json.layers ?? [];
    const isOfLayer = ({ target }: Exchange): boolean => target.endsWith(layer?.digest ?? "");
    registry.wire.cutReply((exchange) => exchange.method === "GET" && isOfLayer(exchange), 2 << 20);
    const requests = await registry.wire.during(async () => expect((await pull(image)).digest).toBe(digest));
    const resumed = requests.filter((exchange) => isOfLayer(exchange) && exchange.headers["range"] !== undefined);
    expect(resumed.map(({ status }) => status)).toEqual([206]);
    expect(resumed[0]?.headers["range"]).toMatch(/^bytes=[1-9]\d*-$/);
    expect(await idOf(image)).toBe(id);
    await using unpacked = await unpack(image);
    expect(await sumOf(join(unpacked.path, archive.name))).toBe(archive.sum);
  });

  test("a tag or a repository that is not there is said to be unknown", async () => {
    await engine.docker("tag", BASE, `${registry.name}/docker/unknown:1.0`);
    await push(`${registry.name}/docker/unknown:1.0`);
    const tag = await engine.dockerFails("pull", `${registry.name}/docker/unknown:2.0`);
    expect(tag.stderr).toContain("manifest unknown");
    const repository = await engine.dockerFails("pull", `${registry.name}/docker/nowhere:1.0`);
    expect(repository.stderr).toMatch(/unknown|not found/);
  });

  test("the registry answered nothing with a fault of its own", () => {
    expect(registry.wire.exchanges.length).toBeGreaterThan(0);
    registry.expectNoFaults();
  });
});

async function build(image: string): Promise<void> {
  await engine.docker("build", "--quiet", "--tag", image, files.context);
}

/** Builds an image that shares no layer with any other, so that all of it must travel. */
async function buildOther(image: string): Promise<ImageFiles> {
  const other = await ImageFiles.gather(await mkdtemp(join(folder, "other-")));
  await engine.docker("build", "--quiet", "--tag", image, other.context);
  return other;
}

/** Makes an image of one random layer, which must travel whole. */
async function importRandom(image: string, bytes?: number): Promise<{ id: string; archive: RandomArchive }> {
  const archive = await writeRandomArchive(folder, bytes);
  await engine.docker("import", archive.tar, image);
  return { id: await idOf(image), archive };
}

async function push(image: string): Promise<string> {
  return (await pushed(image)).digest;
}

async function pushed(image: string): Promise<{ readonly digest: string; readonly text: string }> {
  const { stdout } = await engine.docker("push", image);
  return { digest: /digest: (sha256:[0-9a-f]{64})/.exec(stdout)?.[1] ?? "", text: stdout };
}

async function pull(image: string): Promise<{ readonly digest: string; readonly text: string }> {
  const { stdout } = await engine.docker("pull", image);
  return { digest: /^Digest: (sha256:[0-9a-f]{64})/m.exec(stdout)?.[1] ?? "", text: stdout };
}

async function idOf(image: string): Promise<string> {
  return (await engine.docker("image", "inspect", "--format", "{{.Id}}", image)).stdout.trim();
}

/** Fails unless the image holds the files that `build` put into it. */
async function expectFilesOf(image: string, expected: ImageFiles = files): Promise<void> {
  await using unpacked = await unpack(image);
  await expected.expectIn(unpacked.path);
}

/** The sum of the file that differs between releases. */
async function releaseIn(image: string): Promise<string> {
  await using unpacked = await unpack(image);
  return await sumOf(join(unpacked.path, RELEASE));
}

async function unpack(image: string): Promise<AsyncDisposable & { readonly path: string }> {
  const scratch = await makeScratchFolder();
  const [archive, root] = [join(scratch.path, "exported.tar"), join(scratch.path, "root")];
  await mkdir(root);
  const container = (await engine.docker("create", image, "/bin/busybox")).stdout.trim();
  await engine.docker("export", "--output", archive, container);
  await engine.docker("rm", container);
  await run("tar", ["-xf", archive, "-C", root]);
  return { path: root, [Symbol.asyncDispose]: () => scratch[Symbol.asyncDispose]() };
}
