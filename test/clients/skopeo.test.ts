/** Skopeo, as Debian ships it: copies between the registry, folders and archives in every format that it has. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { generateKeyPairSync } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { digestOf, DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST } from "../support/content.ts";
import { putManifest } from "../support/client.ts";
import { ContainerTools } from "./support/container-tools.ts";
import { ImageFiles } from "./support/image-files.ts";
import { expectSoundBlobs, unpackLayers, writeOciLayout } from "./support/oci-layout.ts";
import type { OciLayout } from "./support/oci-layout.ts";
import { requirePrograms } from "./support/programs.ts";
import { makeScratchFolder } from "./support/scratch-folder.ts";
import { WatchedRegistry } from "./support/watched-registry.ts";
import type { ManifestJson } from "./support/watched-registry.ts";
import { blobReadsIn, mountsIn, uploadsIn } from "./support/wire.ts";

const resources = new AsyncDisposableStack();
let registry: WatchedRegistry;
let tools: ContainerTools;
let files: ImageFiles;
let layout: OciLayout;
/** The digests of the layout's index and images. */
let digests: { readonly all: string; readonly amd64: string; readonly arm64: string };

beforeAll(async () => {
  requirePrograms("busybox", "skopeo", "tar", "umount");
  const folder = resources.use(await makeScratchFolder()).path;
  registry = resources.use(await WatchedRegistry.start());
  tools = resources.use(await ContainerTools.setUp({ registry: registry.name }));
  files = await ImageFiles.gather(folder);
  layout = await writeOciLayout(files, join(folder, "layout"));
  const digestOfImage = (architecture: string): string => digestOf(layout.images.get(architecture) ?? "");
  digests = { all: digestOf(layout.index), amd64: digestOfImage("amd64"), arm64: digestOfImage("arm64") };
});

afterAll(() => resources.disposeAsync());

describe("skopeo copy of one image", () => {
  test("an OCI layout goes to the registry and comes back byte for byte", async () => {
    const image = await pushed("skopeo/oci:1.0", "arm64");
    const served = await registry.getManifest("skopeo/oci", "1.0");
    expect(served.text).toBe(layout.images.get("arm64") ?? "");
    expect(served.mediaType).toBe(OCI_MANIFEST);
    expect(served.digest).toBe(digests.arm64);

    const back = tools.file("oci-back");
    await tools.skopeo("copy", image, `oci:${back}:1.0`);
    await expectSoundBlobs(back);
    expect(await readFile(blobIn(back)(digests.arm64.slice("sha256:".length)), "utf8")).toBe(served.text);
    await unpackLayers(served.json.layers ?? [], blobIn(back), tools.file("oci-root"));
    await files.expectIn(tools.file("oci-root"));
  });

  test("a folder of blobs goes to the registry and comes back byte for byte", async () => {
    const image = await pushed("skopeo/dir:1.0", "arm64");
    const [out, back] = [tools.file("dir-out"), tools.file("dir-back")];
    await tools.skopeo("copy", image, `dir:${out}`);
    await tools.skopeo("copy", `dir:${out}`, docker("skopeo/dir-again:1.0"));
    await tools.skopeo("copy", docker("skopeo/dir-again:1.0"), `dir:${back}`);
    expect(await readFile(join(back, "manifest.json"), "utf8")).toBe(layout.images.get("arm64") ?? "");
    await unpackLayers((await layersOf(back)) ?? [], (hex) => join(back, hex), tools.file("dir-root"));
    await files.expectIn(tools.file("dir-root"));
  });

  test("a second copy uploads nothing", async () => {
    await pushed("skopeo/twice:1.0", "amd64");
    const requests = await registry.wire.during(() => pushed("skopeo/twice:1.0", "amd64"));
    expect(requests.some(({ method }) => method === "HEAD")).toBe(true);
    expect(uploadsIn(requests)).toEqual([]);
  });

  test("an image is copied by its digest", async () => {
    await pushed("skopeo/by-digest:1.0", "amd64");
    const reference = `@${digests.amd64}`;
    await tools.skopeo("copy", docker(`skopeo/by-digest${reference}`), docker(`skopeo/to-digest${reference}`));
    expect((await registry.getManifest("skopeo/to-digest", digests.amd64)).digest).toBe(digests.amd64);
  });

  test("a copy into another repository mounts the layers instead of moving them", async () => {
    const from = await pushed("skopeo/mount/from:1.0", "amd64");
    const layers = (await registry.getManifest("skopeo/mount/from", "1.0")).json.layers ?? [];
    const requests = await registry.wire.during(() => tools.skopeo("copy", from, docker("skopeo/mount/to:1.0")));
    expect(mountsIn(requests).length).toBeGreaterThanOrEqual(layers.length);
    const moved = [...blobReadsIn(requests), ...uploadsIn(requests)].map(({ target }) => target);
    expect(layers.filter(({ digest }) => moved.some((target) => target.includes(digest)))).toEqual([]);
    expect((await registry.getManifest("skopeo/mount/to", "1.0")).digest).toBe(digests.amd64);
  });

  test("Docker's format and OCI's are made of each other", async () => {
    const oci = await pushed("skopeo/formats:oci", "arm64");
    await tools.skopeo("copy", "--format", "v2s2", oci, docker("skopeo/formats:v2s2"));
    const schema2 = await registry.getManifest("skopeo/formats", "v2s2");
    expect(schema2.mediaType).toBe(DOCKER_MANIFEST);
    expect(schema2.json.config?.mediaType).toBe("application/vnd.docker.container.image.v1+json");

    await tools.skopeo("copy", "--format", "oci", docker("skopeo/formats:v2s2"), docker("skopeo/formats:again"));
    const again = await registry.getManifest("skopeo/formats", "again");
    expect(again.mediaType).toBe(OCI_MANIFEST);
    const original = JSON.parse(layout.images.get("arm64") ?? "") as ManifestJson;
    expect(again.json.layers?.map(({ digest }) => digest)).toEqual(original.layers?.map(({ digest }) => digest));
  });

  test("layers compressed by zstd come back as what they were", async () => {
    const [plain, back] = [await uncompressed("plain"), tools.file("zstd-back")];
    await tools.skopeo("copy", "--dest-compress-format", "zstd", `dir:${plain}`, docker("skopeo/zstd:1.0"));
    const served = await registry.getManifest("skopeo/zstd", "1.0");
    for (const layer of served.json.layers ?? []) expect(layer.mediaType).toEndWith(".tar+zstd");
    await tools.skopeo("copy", "--dest-decompress", docker("skopeo/zstd:1.0"), `dir:${back}`);
    expect(await layersOf(back)).toEqual(await layersOf(plain));
  });

  test("archives of docker and of OCI are read and written", async () => {
    const image = await pushed("skopeo/archives:1.0", "arm64");
    const [dockerArchive, ociArchive] = [tools.file("docker.tar"), tools.file("oci.tar")];
    await tools.skopeo("copy", image, `docker-archive:${dockerArchive}:archived:1.0`);
    await tools.skopeo("copy", image, `oci-archive:${ociArchive}:1.0`);
    await tools.skopeo("copy", `docker-archive:${dockerArchive}`, docker("skopeo/archives:docker"));
    await tools.skopeo("copy", `oci-archive:${ociArchive}:1.0`, docker("skopeo/archives:oci"));
    expect((await registry.getManifest("skopeo/archives", "oci")).digest).toBe(digests.arm64);
    const fromDocker = await registry.getManifest("skopeo/archives", "docker");
    expect(fromDocker.mediaType).toBe(DOCKER_MANIFEST);
    const back = tools.file("archive-back");
    await tools.skopeo("copy", docker("skopeo/archives:docker"), `dir:${back}`);
    await unpackLayers(fromDocker.json.layers ?? [], (hex) => join(back, hex), tools.file("archive-root"));
    await files.expectIn(tools.file("archive-root"));
  });

  test("encrypted layers are stored for the owner of the key", async () => {
    const { publicKey, privateKey } = generateKeyPairSync("rsa", {
      modulusLength: 2048,
      publicKeyEncoding: { type: "spki", format: "pem" },
      privateKeyEncoding: { type: "pkcs8", format: "pem" },
    });
    await writeFile(tools.file("public.pem"), publicKey);
    await writeFile(tools.file("private.pem"), privateKey);
    const [image, back] = [docker("skopeo/encrypted:1.0"), tools.file("decrypted")];
    const encryption = ["--encryption-key", `jwe:${tools.file("public.pem")}`];
    await tools.skopeo("copy", ...encryption, `oci:${layout.folder}:arm64`, image);
    const served = await registry.getManifest("skopeo/encrypted", "1.0");
    for (const layer of served.json.layers ?? []) expect(layer.mediaType).toEndWith("+encrypted");
    await tools.skopeo("copy", "--decryption-key", tools.file("private.pem"), image, `oci:${back}:1.0`);
    const original = JSON.parse(layout.images.get("arm64") ?? "") as ManifestJson;
    await unpackLayers(original.layers ?? [], blobIn(back), tools.file("decrypted-root"));
    await files.expectIn(tools.file("decrypted-root"));
  });
});

describe("skopeo copy of an index", () => {
  test("the index and all that it names are copied as they are", async () => {
    await pushedIndex("skopeo/index:1.0");
    const served = await registry.getManifest("skopeo/index", "1.0");
    expect(served.text).toBe(layout.index);
    expect(served.mediaType).toBe(OCI_INDEX);
    for (const digest of [digests.amd64, digests.arm64]) {
      expect((await registry.getManifest("skopeo/index", digest)).digest).toBe(digest);
    }
    const back = tools.file("index-back");
    await tools.skopeo("copy", "--all", docker("skopeo/index:1.0"), `oci:${back}:1.0`);
    await expectSoundBlobs(back);
    expect(await readFile(blobIn(back)(digests.all.slice("sha256:".length)), "utf8")).toBe(layout.index);
  });

  test("of an index, one platform's image is copied alone", async () => {
    const index = await pushedIndex("skopeo/platform:1.0");
    await tools.skopeo("--override-arch", "arm64", "copy", index, docker("skopeo/platform/arm:1.0"));
    expect((await registry.getManifest("skopeo/platform/arm", "1.0")).digest).toBe(digests.arm64);
    expect(await registry.manifest("skopeo/platform/arm", digests.amd64)).toBeUndefined();
  });

  test("an index goes into another repository, and into Docker's format", async () => {
    const index = await pushedIndex("skopeo/index/from:1.0");
    const requests = await registry.wire.during(() =>
      tools.skopeo("copy", "--all", index, docker("skopeo/index/to:1.0")),
    );
    expect(mountsIn(requests).length).toBeGreaterThan(0);
    expect((await registry.getManifest("skopeo/index/to", "1.0")).digest).toBe(digests.all);
    await tools.skopeo("copy", "--all", "--format", "v2s2", index, docker("skopeo/index/list:1.0"));
    const list = await registry.getManifest("skopeo/index/list", "1.0");
    expect(list.mediaType).toBe(DOCKER_LIST);
    for (const { digest } of list.json.manifests ?? []) {
      expect((await registry.getManifest("skopeo/index/list", digest)).mediaType).toBe(DOCKER_MANIFEST);
    }
  });
});

describe("skopeo inspect and skopeo list-tags", () => {
  test("what is inspected is what was pushed", async () => {
    const image = await pushed("skopeo/inspect:1.0", "amd64");
    const inspected = JSON.parse((await tools.skopeo("inspect", image)).stdout) as Record<string, unknown>;
    expect(inspected).toMatchObject({
      Name: `${registry.name}/skopeo/inspect`,
      Digest: digests.amd64,
      RepoTags: ["1.0"],
      Architecture: "amd64",
    });
    const byDigest = docker(`skopeo/inspect@${digests.amd64}`);
    expect((await tools.skopeo("inspect", "--raw", byDigest)).stdout).toBe(layout.images.get("amd64") ?? "");
    const config = JSON.parse((await tools.skopeo("inspect", "--config", image)).stdout) as Record<string, unknown>;
    expect(config).toMatchObject({ architecture: "amd64", os: "linux", config: { Cmd: ["/bin/busybox"] } });
    const raw = await tools.skopeo("inspect", "--raw", await pushedIndex("skopeo/inspect:all"));
    expect(raw.stdout).toBe(layout.index);
  });

  test("all tags are listed in their order, however many there are", async () => {
    await pushed("skopeo/tags:t000", "amd64");
    const tags = Array.from({ length: 130 }, (_, number) => `t${String(number).padStart(3, "0")}`);
    // Each tag is put by a request: a run of skopeo for each would take minutes.
    const base = registry.url;
    for (const tag of tags) await putManifest(base, "skopeo/tags", tag, layout.images.get("amd64") ?? "");
    const { stdout } = await tools.skopeo("list-tags", docker("skopeo/tags"));
    expect(JSON.parse(stdout)).toEqual({ Repository: `${registry.name}/skopeo/tags`, Tags: tags });
  });
});

describe("skopeo delete", () => {
  test("a deleted image is gone with its tags, and only from its repository", async () => {
    for (const target of ["skopeo/delete:1.0", "skopeo/delete:latest", "skopeo/delete-not:1.0"]) {
      await pushed(target, "amd64");
    }
    await pushed("skopeo/delete:other", "arm64");
    await tools.skopeo("delete", docker("skopeo/delete:1.0"));
    for (const reference of ["1.0", "latest", digests.amd64]) {
      expect(await registry.manifest("skopeo/delete", reference)).toBeUndefined();
    }
    const failed = await tools.fails("skopeo", "inspect", docker("skopeo/delete:1.0"));
    expect(failed.stderr).toContain("manifest unknown");
    expect(await tagsOf("skopeo/delete")).toEqual(["other"]);
    expect((await registry.getManifest("skopeo/delete-not", "1.0")).digest).toBe(digests.amd64);
  });

  test("a deleted image can be pushed again", async () => {
    const image = await pushed("skopeo/delete-again:1.0", "amd64");
    await tools.skopeo("delete", image);
    await pushed("skopeo/delete-again:1.0", "amd64");
    await tools.skopeo("copy", image, `oci:${tools.file("again")}:1.0`);
    await expectSoundBlobs(tools.file("again"));
  });
});

describe("skopeo sync", () => {
  test("a repository is mirrored into another one with all its tags", async () => {
    await pushedSeveral("skopeo/sync");
    const mirror = `${registry.name}/mirror`;
    await tools.skopeo("sync", "--all", "--src", "docker", "--dest", "docker", `${registry.name}/skopeo/sync`, mirror);
    await expectSameTags("skopeo/sync", "mirror/sync");
  });

  test("a repository goes through a folder into another one", async () => {
    await pushedSeveral("skopeo/sync-dir");
    const folder = tools.file("sync");
    const from = `${registry.name}/skopeo/sync-dir`;
    await tools.skopeo("sync", "--all", "--src", "docker", "--dest", "dir", from, folder);
    await tools.skopeo("sync", "--all", "--src", "dir", "--dest", "docker", folder, `${registry.name}/mirror`);
    await expectSameTags("skopeo/sync-dir", "mirror/sync-dir");
  });
});

describe("what goes wrong", () => {
  test("an image that is not there is said to be unknown", async () => {
    await pushed("skopeo/unknown:1.0", "amd64");
    const tag = await tools.fails("skopeo", "inspect", docker("skopeo/unknown:2.0"));
    expect(tag.stderr).toContain("manifest unknown");
    const repository = await tools.fails("skopeo", "list-tags", docker("skopeo/nowhere"));
    expect(repository.stderr).toContain("404");
  });

  test("a copy whose connection breaks in the middle of a layer leaves no image, and succeeds the next time", async () => {
    const [source, target] = [await uncompressed("broken"), docker("skopeo/broken:1.0")];
    registry.wire.cutRequest(({ method }) => method === "PATCH", 1 << 20);
    await tools.fails("skopeo", "copy", `dir:${source}`, target);
    expect(await registry.manifest("skopeo/broken", "1.0")).toBeUndefined();

    await tools.skopeo("copy", `dir:${source}`, target);
    const back = tools.file("broken-back");
    await tools.skopeo("copy", "--dest-decompress", target, `dir:${back}`);
    expect(await layersOf(back)).toEqual(await layersOf(source));
  });

  test("the registry answered nothing with a fault of its own", () => {
    expect(registry.wire.exchanges.length).toBeGreaterThan(0);
    registry.expectNoFaults();
  });
});

function docker(reference: string): string {
  return `docker://${registry.name}/${reference}`;
}

function blobIn(folder: string): (hex: string) => string {
  return (hex) => join(folder, "blobs/sha256", hex);
}

/** Copies one platform's image of the layout to the registry and gives its reference. */
async function pushed(target: string, name: "amd64" | "arm64"): Promise<string> {
  await tools.skopeo("copy", `oci:${layout.folder}:${name}`, docker(target));
  return docker(target);
}

async function pushedIndex(target: string): Promise<string> {
  await tools.skopeo("copy", "--all", `oci:${layout.folder}:all`, docker(target));
  return docker(target);
}

/** Two images and an index, each under a tag. */
async function pushedSeveral(repository: string): Promise<void> {
  await pushed(`${repository}:1.0`, "amd64");
  await pushed(`${repository}:1.1-arm`, "arm64");
  await pushedIndex(`${repository}:latest`);
}

async function tagsOf(repository: string): Promise<readonly string[]> {
  const { stdout } = await tools.skopeo("list-tags", docker(repository));
  return (JSON.parse(stdout) as { Tags: string[] }).Tags;
}

async function expectSameTags(repository: string, mirror: string): Promise<void> {
  const tags = await tagsOf(repository);
  expect(await tagsOf(mirror)).toEqual(tags);
  expect(tags).toHaveLength(3);
  for (const tag of tags) {
    const [original, copy] = [await registry.getManifest(repository, tag), await registry.getManifest(mirror, tag)];
    expect(copy.text).toBe(original.text);
  }
}

/** A folder with an image of layers that the registry has in no form, so that they must be sent. */
async function uncompressed(name: string): Promise<string> {
  const fresh = await ImageFiles.gather(tools.file(`${name}-files`));
  const { folder } = await writeOciLayout(fresh, tools.file(`${name}-layout`));
  await tools.skopeo("copy", "--dest-decompress", `oci:${folder}:amd64`, `dir:${tools.file(name)}`);
  return tools.file(name);
}

async function layersOf(folder: string): Promise<ManifestJson["layers"]> {
  return (JSON.parse(await readFile(join(folder, "manifest.json"), "utf8")) as ManifestJson).layers;
}
