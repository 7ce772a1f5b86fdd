/** Buildah, as Debian ships it: builds for several platforms, commits and caches that end in the registry. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DOCKER_MANIFEST, OCI_INDEX } from "../support/content.ts";
import { ContainerTools } from "./support/container-tools.ts";
import { ImageFiles, NOISE, RELEASE, sumOf } from "./support/image-files.ts";
import { requirePrograms } from "./support/programs.ts";
import { makeScratchFolder } from "./support/scratch-folder.ts";
import { WatchedRegistry } from "./support/watched-registry.ts";
import { blobReadsIn, mountsIn, uploadsIn } from "./support/wire.ts";

/** An image that most tests give a name of their own, because each build takes seconds. */
const BASE = "localhost/base:1.0";

const resources = new AsyncDisposableStack();
let registry: WatchedRegistry;
let tools: ContainerTools;
let files: ImageFiles;
let folder: string;

beforeAll(async () => {
  requirePrograms("buildah", "busybox", "tar", "umount");
  folder = resources.use(await makeScratchFolder()).path;
  registry = resources.use(await WatchedRegistry.start());
  tools = resources.use(await ContainerTools.setUp({ registry: registry.name }));
  files = await ImageFiles.gather(folder);
  await tools.buildah("bud", "--quiet", "--layers", "--tag", BASE, files.context);
});

afterAll(() => resources.disposeAsync());

describe("buildah push and buildah pull", () => {
  test("an image of real files comes back by tag and by digest, with the same files", async () => {
    const image = `${registry.name}/buildah/round-trip:1.0`;
    const other = await ImageFiles.gather(await mkdtemp(join(folder, "other-")));
    await tools.buildah("bud", "--quiet", "--tag", image, other.context);
    const digest = await push(image);
    expect((await registry.getManifest("buildah/round-trip", "1.0")).digest).toBe(digest);
    await tools.buildah("rmi", image);
    for (const reference of [image, `${registry.name}/buildah/round-trip@${digest}`]) {
      const requests = await registry.wire.during(() => tools.buildah("pull", reference));
      expect(blobReadsIn(requests).length).toBeGreaterThan(1);
      await whileMounted(reference, (root) => other.expectIn(root));
      await tools.buildah("rmi", reference);
    }
  });

  test("a second push uploads nothing, and a second pull fetches no layer", async () => {
    const image = `${registry.name}/buildah/twice:1.0`;
    await tools.buildah("tag", BASE, image);
    const digest = await push(image);
    const pushed = await registry.wire.during(async () => expect(await push(image)).toBe(digest));
    expect(uploadsIn(pushed)).toEqual([]);
    const layers = (await registry.getManifest("buildah/twice", "1.0")).json.layers ?? [];
    const pulled = await registry.wire.during(() => tools.buildah("pull", "--policy", "always", image));
    const read = blobReadsIn(pulled).map(({ target }) => target);
    expect(layers.filter((layer) => read.some((target) => target.endsWith(layer.digest)))).toEqual([]);
  });

  test("a push into another repository mounts the layers, and one in Docker's format is kept as such", async () => {
    const [from, to] = [`${registry.name}/buildah/mount-from:1.0`, `${registry.name}/buildah/mounted/to:1.0`];
    await tools.buildah("tag", BASE, from, to);
    await push(from);
    const requests = await registry.wire.during(() => push(to));
    expect(mountsIn(requests).length).toBeGreaterThanOrEqual(files.layers);
    await push(from, "--format", "v2s2");
    expect((await registry.getManifest("buildah/mount-from", "1.0")).mediaType).toBe(DOCKER_MANIFEST);
  });
});

describe("buildah manifest", () => {
  test("an image for two platforms is pushed as a whole, and each platform pulls its own", async () => {
    const index = `${registry.name}/buildah/platforms:1.0`;
    const other = await ImageFiles.gather(await mkdtemp(join(folder, "other-")));
    const sums = new Map<string, string>();
    for (const platform of ["amd64", "arm64"]) {
      await other.release(platform);
      sums.set(platform, other.sum(RELEASE));
      // All layers but the last one are those of the other platform.
      await tools.buildah(
        "bud",
        "--quiet",
        "--layers",
        "--arch",
        platform,
        "--manifest",
        "localhost/two",
        other.context,
      );
    }
    await tools.buildah("manifest", "push", "--all", "localhost/two", `docker://${index}`);
    const served = await registry.getManifest("buildah/platforms", "1.0");
    expect(served.mediaType).toBe(OCI_INDEX);
    expect(served.json.manifests?.map(({ platform }) => platform?.architecture)).toEqual(["amd64", "arm64"]);
    for (const { digest } of served.json.manifests ?? []) {
      expect((await registry.getManifest("buildah/platforms", digest)).digest).toBe(digest);
    }

    await tools.buildah("manifest", "rm", "localhost/two");
    for (const [platform, sum] of sums) {
      const image = (await tools.buildah("pull", "--quiet", "--arch", platform, index)).stdout.trim();
      const inspected = await tools.buildah("inspect", "--type", "image", "--format", "{{.OCIv1.Architecture}}", image);
      expect(inspected.stdout.trim()).toBe(platform);
      expect(await whileMounted(image, (root) => sumOf(join(root, RELEASE)))).toBe(sum);
      expect(await whileMounted(image, (root) => sumOf(join(root, NOISE)))).toBe(other.sum(NOISE));
      await tools.buildah("rmi", "--force", image);
    }
  });
});

describe("buildah bud, buildah commit and buildah from", () => {
  test("an image is built from one in the registry, and its push brings only what is new", async () => {
    const base = `${registry.name}/buildah/base:1.0`;
    await tools.buildah("tag", BASE, base);
    await push(base);
    await tools.buildah("rmi", base);
    const context = await mkdtemp(join(folder, "child-"));
    await writeFile(join(context, "Dockerfile"), `FROM ${base}\nCOPY added /srv/added\n`);
    await writeFile(join(context, "added"), "This is the child's own.\n");
    const child = `${registry.name}/buildah/child:1.0`;
    await tools.buildah("bud", "--quiet", "--tag", child, context);
    const requests = await registry.wire.during(() => push(child));
    // The layer and the config.
    expect(uploadsIn(requests).filter(({ method }) => method === "PUT")).toHaveLength(2);
    expect(mountsIn(requests).length).toBeGreaterThanOrEqual(files.layers);

    await tools.buildah("rmi", "--force", child);
    await tools.buildah("pull", child);
    expect(await whileMounted(child, (root) => sumOf(join(root, NOISE)))).toBe(files.sum(NOISE));
    expect(await whileMounted(child, (root) => readFile(join(root, "srv/added"), "utf8"))).toContain("own");
  });

  test("a working container is committed into the registry without an image here", async () => {
    const target = `${registry.name}/buildah/committed:1.0`;
    const container = (await tools.buildah("from", "scratch")).stdout.trim();
    await tools.buildah("copy", container, join(files.context, "noise.bin"), `/${NOISE}`);
    await tools.buildah("config", "--label", "made=by hand", container);
    await tools.buildah("commit", container, `docker://${target}`);
    await tools.buildah("rm", container);
    await tools.buildah("pull", target);
    expect(await whileMounted(target, (root) => sumOf(join(root, NOISE)))).toBe(files.sum(NOISE));
    const inspected = await tools.buildah("inspect", "--type", "image", "--format", "{{.OCIv1.Config.Labels}}", target);
    expect(inspected.stdout).toContain("made:by hand");
  });

  test("a build takes its steps from the cache in the registry where another build left them", async () => {
    const cache = `${registry.name}/buildah/cache`;
    const other = await ImageFiles.gather(await mkdtemp(join(folder, "cached-")));
    const words = ["bud", "--layers", "--cache-from", cache, "--cache-to", cache, other.context];
    await tools.buildah(...words);
    // A machine that has built nothing yet.
    await using elsewhere = await ContainerTools.setUp({ registry: registry.name });
    let printed = "";
    const requests = await registry.wire.during(async () => ({ stdout: printed } = await elsewhere.buildah(...words)));
    expect(printed.match(/Cache pulled from remote/g)).toHaveLength(other.layers);
    expect(uploadsIn(requests)).toEqual([]);
  });
});

describe("what goes wrong", () => {
  test("a push whose connection breaks in the middle of a layer succeeds when it is tried again", async () => {
    const target = `${registry.name}/buildah/broken:1.0`;
    const other = await ImageFiles.gather(await mkdtemp(join(folder, "other-")));
    const container = (await tools.buildah("from", "scratch")).stdout.trim();
    await tools.buildah("copy", container, join(other.context, "noise.bin"), `/${NOISE}`);
    await tools.buildah("commit", "--quiet", "--rm", container, target);
    registry.wire.cutRequest(({ method }) => method === "PATCH", 1 << 20);
    const requests = await registry.wire.during(() =>
      // Buildah itself tries again after some kinds of error, and gives up after others.
      push(target).catch(() => push(target)),
    );
    expect(requests.filter(({ method, status }) => method === "PATCH" && status === 0)).not.toEqual([]);
    await tools.buildah("rmi", target);
    await tools.buildah("pull", target);
    expect(await whileMounted(target, (root) => sumOf(join(root, NOISE)))).toBe(other.sum(NOISE));
  });

  test("a tag that is not there is said to be unknown", async () => {
    await tools.buildah("tag", BASE, `${registry.name}/buildah/unknown:1.0`);
    await push(`${registry.name}/buildah/unknown:1.0`);
    const failed = await tools.fails("buildah", "pull", `${registry.name}/buildah/unknown:2.0`);
    expect(failed.stderr).toContain("manifest unknown");
  });

  test("the registry answered nothing with a fault of its own", () => {
    expect(registry.wire.exchanges.length).toBeGreaterThan(0);
    registry.expectNoFaults();
  });
});

/** Gives the digest that buildah says it has pushed. */
async function push(image: string, ...words: string[]): Promise<string> {
  const file = tools.file("pushed-digest");
  await tools.buildah("push", "--digestfile", file, ...words, image);
  return await readFile(file, "utf8");
}

async function whileMounted<Value>(image: string, look: (root: string) => Promise<Value>): Promise<Value> {
  const container = (await tools.buildah("from", "--pull-never", image)).stdout.trim();
  try {
    return await look((await tools.buildah("mount", container)).stdout.trim());
  } finally {
    await tools.buildah("rm", container);
  }
}
