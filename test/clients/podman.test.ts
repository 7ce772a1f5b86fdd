/** Podman, as Debian ships it: what a user does with images, and what that asks of the registry. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST } from "../support/content.ts";
import { ContainerTools } from "./support/container-tools.ts";
import { ImageFiles, RELEASE, sumOf, writeRandomArchive } from "./support/image-files.ts";
import { requirePrograms } from "./support/programs.ts";
import { makeScratchFolder } from "./support/scratch-folder.ts";
import { WatchedRegistry } from "./support/watched-registry.ts";
import { blobReadsIn, mountsIn, uploadsIn } from "./support/wire.ts";
import type { Exchange } from "./support/wire.ts";

/** An image that most tests give a name of their own, because each build takes seconds. */
const BASE = "localhost/base:1.0";

/** More files than the 1,023 ranges that podman asks for at once. */
const MANY_FILES = { bytes: 6 << 20, files: 1200 };

const resources = new AsyncDisposableStack();
let registry: WatchedRegistry;
let tools: ContainerTools;
let files: ImageFiles;
let folder: string;

beforeAll(async () => {
  requirePrograms("busybox", "podman", "tar", "umount");
  folder = resources.use(await makeScratchFolder()).path;
  registry = resources.use(await WatchedRegistry.start());
  tools = resources.use(await ContainerTools.setUp({ registry: registry.name }));
  files = await ImageFiles.gather(folder);
  await build(BASE);
});

afterAll(() => resources.disposeAsync());

describe("podman push and podman pull", () => {
  test("an image of real files comes back by tag and by digest, with the same files", async () => {
    const image = `${registry.name}/podman/round-trip:1.0`;
    const other = await buildOther(image);
    const id = await idOf(image);
    const digest = await push(image);
    expect((await registry.getManifest("podman/round-trip", "1.0")).digest).toBe(digest);

    await tools.podman("rmi", image);
    const requests = await registry.wire.during(() => tools.podman("pull", image));
    expect(blobReadsIn(requests)).toHaveLength(files.layers + 1);
    expect(await idOf(image)).toBe(id);
    await expectFilesOf(image, other);

    await tools.podman("rmi", image);
    const byDigest = `${registry.name}/podman/round-trip@${digest}`;
    await tools.podman("pull", byDigest);
    expect(await idOf(byDigest)).toBe(id);
    await expectFilesOf(byDigest, other);
  });

  test("a second pull fetches no layer", async () => {
    const image = `${registry.name}/podman/pull-twice:1.0`;
    await tools.podman("tag", BASE, image);
    await push(image);
    await tools.podman("rmi", image);
    await tools.podman("pull", image);
    const requests = await registry.wire.during(() => tools.podman("pull", image));
    const layers = (await registry.getManifest("podman/pull-twice", "1.0")).json.layers ?? [];
    const read = blobReadsIn(requests).map(({ target }) => target);
    expect(layers.filter(({ digest }) => read.some((target) => target.endsWith(digest)))).toEqual([]);
  });

  test("a second push uploads nothing", async () => {
    const image = `${registry.name}/podman/push-twice:1.0`;
    await tools.podman("tag", BASE, image);
    const digest = await push(image);
    const requests = await registry.wire.during(async () => expect(await push(image)).toBe(digest));
    expect(requests.filter(({ method, status }) => method === "HEAD" && status === 200)).not.toEqual([]);
    expect(uploadsIn(requests)).toEqual([]);
  });

  test("a new release uploads its changed layer alone, and the old one is still there by its digest", async () => {
    const image = `${registry.name}/podman/releases:latest`;
    await tools.podman("tag", BASE, image);
    const old = await push(image);
    const oldSum = await whileMounted(image, (root) => sumOf(join(root, RELEASE)));
    await files.release("2.0");
    await build(image);
    const requests = await registry.wire.during(async () => expect(await push(image)).not.toBe(old));
    // The layer and the config.
    expect(uploadsIn(requests).filter(({ method }) => method === "PUT")).toHaveLength(2);

    await tools.podman("rmi", "--force", image);
    await tools.podman("pull", image);
    await expectFilesOf(image);
    const byDigest = `${registry.name}/podman/releases@${old}`;
    await tools.podman("pull", byDigest);
    expect(await whileMounted(byDigest, (root) => sumOf(join(root, RELEASE)))).toBe(oldSum);
  });

  test("a push into another repository mounts the layers that the registry has", async () => {
    const [from, to] = [`${registry.name}/podman/mount-from:1.0`, `${registry.name}/podman/mounted/to:1.0`];
    await tools.podman("tag", BASE, from);
    const digest = await push(from);
    await tools.podman("tag", from, to);
    const requests = await registry.wire.during(async () => expect(await push(to)).toBe(digest));
    expect(mountsIn(requests).length).toBeGreaterThanOrEqual(files.layers);
    await tools.podman("rmi", "--force", from, to);
    await tools.podman("pull", to);
    expect(await idOf(to)).toBe(await idOf(BASE));
  });

  test("all tags of a repository are pulled at once", async () => {
    const repository = `${registry.name}/podman/all-tags`;
    await tools.podman("tag", BASE, `${repository}:1.0`, `${repository}:latest`);
    await files.release("2.0-rc.1");
    await build(`${repository}:2.0-rc.1`);
    const ids = new Map<string, string>();
    for (const tag of ["1.0", "2.0-rc.1", "latest"]) {
      ids.set(tag, await idOf(`${repository}:${tag}`));
      await push(`${repository}:${tag}`);
    }
    await tools.podman("untag", await idOf(BASE), `${repository}:1.0`, `${repository}:latest`);
    await tools.podman("rmi", `${repository}:2.0-rc.1`);
    await tools.podman("pull", "--all-tags", repository);
    for (const [tag, id] of ids) expect(await idOf(`${repository}:${tag}`)).toBe(id);
    await expectFilesOf(`${repository}:2.0-rc.1`);
  });

  test("an image goes in OCI's format and in Docker's, and both come back", async () => {
    const image = `${registry.name}/podman/formats`;
    const archive = await writeRandomArchive(folder);
    await tools.podman("import", archive.tar, `${image}:oci`);
    await push(`${image}:oci`, "--format", "oci");
    expect((await registry.getManifest("podman/formats", "oci")).mediaType).toBe(OCI_MANIFEST);
    await tools.podman("tag", `${image}:oci`, `${image}:v2s2`);
    await push(`${image}:v2s2`, "--format", "v2s2");
    expect((await registry.getManifest("podman/formats", "v2s2")).mediaType).toBe(DOCKER_MANIFEST);
    await tools.podman("rmi", "--force", `${image}:oci`, `${image}:v2s2`);
    for (const tag of ["oci", "v2s2"]) {
      await tools.podman("pull", `${image}:${tag}`);
      expect(await whileMounted(`${image}:${tag}`, (root) => sumOf(join(root, archive.name)))).toBe(archive.sum);
      // The other one has the same layer, which is to travel again.
      await tools.podman("rmi", "--force", `${image}:${tag}`);
    }
  });

  test("an imported archive and a committed container are images like others", async () => {
    const imported = `${registry.name}/podman/imported:1.0`;
    await tools.podman("import", join(files.context, "base.tar"), imported);
    await push(imported);
    const container = (await tools.podman("create", "--network=none", imported, "/bin/busybox")).stdout.trim();
    await tools.podman("cp", join(files.context, "release"), `${container}:/added`);
    const committed = `${registry.name}/podman/committed:1.0`;
    await tools.podman("commit", "--quiet", container, committed);
    await tools.podman("rm", container);
    await push(committed);
    await tools.podman("rmi", committed);
    await tools.podman("pull", committed);
    expect(await whileMounted(committed, (root) => sumOf(join(root, "added")))).toBe(files.sum(RELEASE));
    expect(await whileMounted(committed, (root) => sumOf(join(root, "bin/busybox")))).toBe(files.sum("bin/busybox"));
  });
});

describe("podman manifest", () => {
  test("a list for two platforms gives each platform its image", async () => {
    const list = `${registry.name}/podman/list:1.0`;
    const context = await mkdtemp(join(folder, "list-"));
    const { name, sum } = await writeRandomArchive(context);
    await tools.podman("manifest", "create", "list-of-two");
    for (const platform of ["amd64", "arm64"]) {
      await writeFile(join(context, "Dockerfile"), `FROM scratch\nCOPY ${name} /${platform}\n`);
      const image = `localhost/list-${platform}:1.0`;
      await tools.podman("build", "--quiet", "--platform", `linux/${platform}`, "--tag", image, context);
      await tools.podman("manifest", "add", "list-of-two", `containers-storage:${image}`);
    }
    await tools.podman("manifest", "push", "--all", "list-of-two", `docker://${list}`);

    const served = await registry.getManifest("podman/list", "1.0");
    expect(served.mediaType).toBe(OCI_INDEX);
    expect(served.json.manifests?.map(({ platform }) => platform?.architecture)).toEqual(["amd64", "arm64"]);
    const inspected = await tools.podman("manifest", "inspect", list);
    expect(JSON.parse(inspected.stdout)).toMatchObject({ manifests: served.json.manifests });

    await tools.podman("manifest", "rm", "list-of-two");
    await tools.podman("rmi", "--force", "localhost/list-amd64:1.0", "localhost/list-arm64:1.0");
    for (const platform of ["amd64", "arm64"]) {
      await tools.podman("pull", "--arch", platform, list);
      const { stdout } = await tools.podman("image", "inspect", "--format", "{{.Architecture}}", list);
      expect(stdout.trim()).toBe(platform);
      expect(await whileMounted(list, (root) => sumOf(join(root, platform)))).toBe(sum);
      await tools.podman("rmi", "--force", list);
    }
  });
});

describe("podman search", () => {
  test("a search lists the repositories, and those alone whose name has the word", async () => {
    for (const repository of ["search/apple", "search/apple-pie", "search/pear"]) {
      await tools.podman("tag", BASE, `${registry.name}/${repository}:1.0`);
      await push(`${registry.name}/${repository}:1.0`);
    }
    expect(await namesFor("")).toEqual(["apple", "apple-pie", "pear"]);
    expect(await namesFor("apple")).toEqual(["apple", "apple-pie"]);
    expect(await namesFor("quince")).toEqual([]);
  });

  test("a search lists the tags of a repository", async () => {
    const repository = `${registry.name}/podman/tags`;
    for (const tag of ["b", "a", "d", "c"]) {
      await tools.podman("tag", BASE, `${repository}:${tag}`);
      await push(`${repository}:${tag}`);
    }
    const { stdout } = await tools.podman("search", "--list-tags", "--format", "json", repository);
    expect(JSON.parse(stdout)).toEqual([{ Name: repository, Tags: ["a", "b", "c", "d"] }]);
  });
});

describe("podman with zstd:chunked layers", () => {
  test("layers are fetched file by file, and of a new release only the files that changed", async () => {
    // Only this driver fetches in parts.
    await using partial = await ContainerTools.setUp({ registry: registry.name, driver: "overlay" });
    const many = await ImageFiles.gather(await mkdtemp(join(folder, "many-")), MANY_FILES);
    const image = `${registry.name}/podman/chunked`;
    const pushChunked = async (tag: string): Promise<void> => {
      await partial.podman("build", "--quiet", "--layers", "--tag", `localhost/chunked:${tag}`, many.context);
      await partial.podman(
        "push",
        "--compression-format",
        "zstd:chunked",
        `localhost/chunked:${tag}`,
        `${image}:${tag}`,
      );
    };
    const expectPulled = async (tag: string): Promise<void> => {
      await many.expectIn((await partial.podman("image", "mount", `${image}:${tag}`)).stdout.trim());
      await partial.podman("image", "umount", `${image}:${tag}`);
    };
    await pushChunked("1.0");
    const { layers = [] } = (await registry.getManifest("podman/chunked", "1.0")).json;
    expect(layers.filter(({ mediaType }) => !mediaType.endsWith(".tar+zstd"))).toEqual([]);
    await partial.podman("rmi", "--all");

    const first = partsIn(await registry.wire.during(() => partial.podman("pull", `${image}:1.0`)));
    expect(new Set(first.map(({ status }) => status))).toEqual(new Set([206]));
    const headers = first.map((request) => request.headers["range"] ?? "");
    // So many ranges at once make a header that is larger than some servers take.
    expect(Math.max(...headers.map((header) => header.length))).toBeGreaterThan(10_000);
    await expectPulled("1.0");

    await many.changeOneOfMany("2.0");
    await pushChunked("2.0");
    await partial.podman("rmi", "localhost/chunked:2.0");
    const second = partsIn(await registry.wire.during(() => partial.podman("pull", `${image}:2.0`)));
    expect(second.length).toBeGreaterThan(0);
    expect(bytesIn(second)).toBeLessThan(bytesIn(first) / 10);
    await expectPulled("2.0");
  });
});

describe("what goes wrong", () => {
  test("a push whose connection breaks in the middle of a layer succeeds when it is tried again", async () => {
    const image = `${registry.name}/podman/broken:1.0`;
    const archive = await writeRandomArchive(folder, 4 << 20);
    await tools.podman("import", archive.tar, image);
    registry.wire.cutRequest(({ method }) => method === "PATCH", 1 << 20);
    const requests = await registry.wire.during(() =>
      // Podman itself tries again after some kinds of error, and gives up after others.
      push(image).catch(() => push(image)),
    );
    expect(requests.filter(({ method, status }) => method === "PATCH" && status === 0)).not.toEqual([]);
    await tools.podman("rmi", image);
    await tools.podman("pull", image);
    expect(await whileMounted(image, (root) => sumOf(join(root, archive.name)))).toBe(archive.sum);
  });

  test("a tag that is not there is said to be unknown", async () => {
    await tools.podman("tag", BASE, `${registry.name}/podman/unknown:1.0`);
    await push(`${registry.name}/podman/unknown:1.0`);
    const failed = await tools.fails("podman", "pull", `${registry.name}/podman/unknown:2.0`);
    expect(failed.stderr).toContain("manifest unknown");
  });

  test("the registry answered nothing with a fault of its own", () => {
    expect(registry.wire.exchanges.length).toBeGreaterThan(0);
    registry.expectNoFaults();
  });
});

async function build(image: string): Promise<void> {
  await tools.podman("build", "--quiet", "--layers", "--tag", image, files.context);
}

/** Builds an image that shares no layer with any other, so that all of it must travel. */
async function buildOther(image: string): Promise<ImageFiles> {
  const other = await ImageFiles.gather(await mkdtemp(join(folder, "other-")));
  await tools.podman("build", "--quiet", "--tag", image, other.context);
  return other;
}

/** Gives the digest that podman says it has pushed. */
async function push(image: string, ...words: string[]): Promise<string> {
  const file = tools.file("pushed-digest");
  await tools.podman("push", "--digestfile", file, ...words, image);
  return await readFile(file, "utf8");
}

async function idOf(image: string): Promise<string> {
  return (await tools.podman("image", "inspect", "--format", "{{.Id}}", image)).stdout.trim();
}

/** The requests that fetch parts of a blob. */
function partsIn(requests: readonly Exchange[]): readonly Exchange[] {
  return blobReadsIn(requests).filter(({ headers }) => headers["range"] !== undefined);
}

function bytesIn(requests: readonly Exchange[]): number {
  return requests.reduce((sum, { received }) => sum + received, 0);
}

/** The names of repositories below `search/` that a search finds. */
async function namesFor(term: string): Promise<readonly string[]> {
  const found = await tools.podman("search", "--format", "{{.Name}}", "--limit", "100", `${registry.name}/${term}`);
  const prefix = `${registry.name}/search/`;
  const names = found.stdout.split("\n").filter((name) => name.startsWith(prefix));
  return names.map((name) => name.slice(prefix.length));
}

async function whileMounted<Value>(image: string, look: (root: string) => Promise<Value>): Promise<Value> {
  const root = (await tools.podman("image", "mount", image)).stdout.trim();
  try {
    return await look(root);
  } finally {
    await tools.podman("image", "umount", image);
  }
}

/** Fails unless the image holds the files that `build` put into it. */
async function expectFilesOf(image: string, expected: ImageFiles = files): Promise<void> {
  await whileMounted(image, (root) => expected.expectIn(root));
}
