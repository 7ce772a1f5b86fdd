/** Regctl, of regclient: the one client that uploads in chunks, and takes SHA-512 from end to end. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { pushImage } from "../support/client.ts";
import { bytesOf, digestOf } from "../support/content.ts";
import { Client } from "./support/client.ts";
import { ImageFiles, sumOf } from "./support/image-files.ts";
import { writeOciLayout } from "./support/oci-layout.ts";
import type { OciLayout } from "./support/oci-layout.ts";
import { WatchedRegistry } from "./support/watched-registry.ts";
import { mountsIn, uploadsIn } from "./support/wire.ts";

const resources = new AsyncDisposableStack();
let registry: WatchedRegistry;
let regctl: Client;
let layout: OciLayout;

beforeAll(async () => {
  registry = resources.use(await WatchedRegistry.start());
  regctl = resources.use(await Client.of("regctl", registry));
  layout = await writeOciLayout(await ImageFiles.gather(regctl.folder), regctl.file("layout"));
  await writeFile(regctl.file("large.bin"), bytesOf("regctl", 3 << 20));
});

afterAll(() => resources.disposeAsync());

describe("regctl image", () => {
  test("an index for two platforms goes from a layout to the registry and back, byte for byte", async () => {
    const image = await copied("regctl/layout:1.0");
    expect((await registry.getManifest("regctl/layout", "1.0")).text).toBe(layout.index);
    await regctl.run("image", "copy", image, `ocidir://${regctl.file("back")}:1.0`);
    const blob = `blobs/${digestOf(layout.index).replace(":", "/")}`;
    expect(await readFile(regctl.file(`back/${blob}`), "utf8")).toBe(layout.index);
    expect(await regctl.says("manifest", "head", "--platform", "linux/arm64", image)).toBe(
      digestOf(layout.images.get("arm64") ?? ""),
    );
  });

  test("a copy into another repository mounts every blob", async () => {
    const image = await copied("regctl/from:1.0");
    const requests = await registry.wire.during(() => regctl.run("image", "copy", image, at("regctl/to:1.0")));
    expect(mountsIn(requests).length).toBeGreaterThan(0);
    expect(uploadsIn(requests)).toEqual([]);
    expect((await registry.getManifest("regctl/to", "1.0")).text).toBe(layout.index);
  });

  test("an archive is exported and imported", async () => {
    const image = await copied("regctl/export:1.0");
    await regctl.run("image", "export", image, regctl.file("exported.tar"));
    await regctl.run("image", "import", at("regctl/imported:1.0"), regctl.file("exported.tar"));
    expect((await registry.getManifest("regctl/imported", "1.0")).text).toBe(layout.index);
  });

  // regctl 0.11 puts data into an index that is not the content of the child beside it.
  test("content is put into the descriptors of an index, and the image can be copied", async () => {
    const image = await copied("regctl/data:1.0");
    await regctl.run("image", "mod", image, "--data-max", "100000", "--create", "with-data");
    const { text } = await registry.getManifest("regctl/data", "with-data");
    expect(text).toContain('"data":');
    await regctl.run("image", "copy", at("regctl/data:with-data"), at("regctl/data-copy:1.0"));
    expect((await registry.getManifest("regctl/data-copy", "1.0")).text).toBe(text);
  });

  test("an image becomes one of SHA-512 from its blobs up, and is copied as that", async () => {
    await pushImage(registry.url, "regctl/sha512", "256", "regctl sha512");
    await regctl.run(
      "image",
      "mod",
      at("regctl/sha512:256"),
      "--digest-algo",
      "sha512",
      "--create",
      at("regctl/sha512:512"),
    );
    const digest = await regctl.says("manifest", "head", at("regctl/sha512:512"));
    expect(digest).toMatch(/^sha512:[0-9a-f]{128}$/);
    const served = await registry.getManifest("regctl/sha512", digest);
    expect(digestOf(served.text, "sha512")).toBe(digest);
    expect(served.json.config?.digest).toStartWith("sha512:");
    expect(served.json.layers?.map((layer) => layer.digest)).toEqual([
      digestOf(bytesOf("regctl sha512", 600), "sha512"),
    ]);
    await regctl.run("image", "copy", at("regctl/sha512:512"), at("regctl/sha512-copied:1.0"));
    expect(await regctl.says("manifest", "head", at("regctl/sha512-copied:1.0"))).toBe(digest);
  });
});

describe("regctl blob", () => {
  test("a blob of unknown length goes in chunks, and comes back", async () => {
    let printed = "";
    const requests = await registry.wire.during(async () => {
      ({ stdout: printed } = await regctl.reads(regctl.file("large.bin"), "blob", "put", at("regctl/blob")));
    });
    const digest = printed.trim();
    expect(digest).toBe(digestOf(bytesOf("regctl", 3 << 20)));
    const ranges = requests.filter(({ method }) => method === "PATCH").map(({ headers }) => headers["content-range"]);
    expect(ranges).toEqual(["0-1048575", "1048576-2097151", "2097152-3145727"]);
    const { stdout } = await regctl.run("blob", "head", at("regctl/blob"), digest);
    expect(stdout).toContain(String(3 << 20));
    await expectBlob("regctl/blob", digest);
  });

  test("a blob of known length goes in chunks of the size that is asked for", async () => {
    await writeFile(regctl.file("other.bin"), bytesOf("regctl chunks", 3 << 20));
    await regctl.run("registry", "set", registry.name, "--blob-max", "1000000", "--blob-chunk", "524288");
    const words = ["artifact", "put", "--artifact-type", "application/x.chunks", "--file", "other.bin"];
    const requests = await registry.wire.during(() => regctl.run(...words, at("regctl/chunked:1.0")));
    await regctl.run("registry", "set", registry.name, "--blob-max", "0", "--blob-chunk", "0");
    const chunks = requests.filter(({ method }) => method === "PATCH");
    expect(chunks.map(({ sent }) => sent)).toEqual(Array.from({ length: 6 }, () => 524_288));
    const [layer] = (await registry.getManifest("regctl/chunked", "1.0")).json.layers ?? [];
    expect(layer?.digest).toBe(digestOf(bytesOf("regctl chunks", 3 << 20)));
    await expectBlob("regctl/chunked", layer?.digest ?? "");
  });

  test("a blob is copied and deleted", async () => {
    const { stdout } = await regctl.reads(regctl.file("large.bin"), "blob", "put", at("regctl/blob-from"));
    const digest = stdout.trim();
    await regctl.run("blob", "copy", at("regctl/blob-from"), at("regctl/blob-to"), digest);
    await regctl.run("blob", "delete", at("regctl/blob-from"), digest);
    expect((await regctl.fails("blob", "head", at("regctl/blob-from"), digest)).stderr).toContain("not found");
    await expectBlob("regctl/blob-to", digest);
  });
});

describe("regctl artifact", () => {
  test("artifacts of an image are listed, filtered and fetched by it, and copied along with it", async () => {
    const { digest } = await pushImage(registry.url, "regctl/artifact", "1.0", "regctl artifact");
    for (const type of ["application/x.one", "application/x.two"]) {
      await attach("regctl/artifact:1.0", type);
    }
    const types = await listed("regctl/artifact:1.0");
    expect(types.map(({ artifactType }) => artifactType).toSorted()).toEqual([
      "application/x.one",
      "application/x.two",
    ]);
    const ones = await listed("regctl/artifact:1.0", "--filter-artifact-type", "application/x.one");
    expect(ones.map(({ artifactType }) => artifactType)).toEqual(["application/x.one"]);

    await mkdir(regctl.file("fetched"));
    const wanted = ["--subject", at("regctl/artifact:1.0"), "--filter-artifact-type", "application/x.two"];
    await regctl.run("artifact", "get", ...wanted, "--output", regctl.file("fetched"));
    expect(await sumOf(regctl.file("fetched/large.bin"))).toBe(await sumOf(regctl.file("large.bin")));

    await regctl.run("image", "copy", "--referrers", at("regctl/artifact:1.0"), at("regctl/artifact-copied:1.0"));
    expect(await listed("regctl/artifact-copied:1.0")).toEqual(types);
    const tree = await regctl.says("artifact", "tree", at("regctl/artifact-copied:1.0"));
    for (const name of [digest, ...types.map((type) => type.digest)]) expect(tree).toContain(name);
    expect(await tagsOf("regctl/artifact-copied")).toEqual(["1.0"]);
  });

  test("a deleted artifact is listed no longer", async () => {
    await pushImage(registry.url, "regctl/unattach", "1.0", "regctl unattach");
    await attach("regctl/unattach:1.0", "application/x.one");
    const [artifact] = await listed("regctl/unattach:1.0");
    await regctl.run("manifest", "delete", "--referrers", `${at("regctl/unattach")}@${artifact?.digest}`);
    expect(await listed("regctl/unattach:1.0")).toEqual([]);
  });

  test("tags by which older clients name what belongs to an image are copied with it", async () => {
    const { digest } = await pushImage(registry.url, "regctl/digest-tags", "1.0", "regctl digest tags");
    const signature = `${digest.replace(":", "-")}.sig`;
    await pushImage(registry.url, "regctl/digest-tags", signature, "regctl signature");
    await regctl.run("image", "copy", "--digest-tags", at("regctl/digest-tags:1.0"), at("regctl/digest-copied:1.0"));
    expect(await tagsOf("regctl/digest-copied")).toEqual(["1.0", signature]);
  });
});

describe("regctl tag and regctl repo", () => {
  test("tags are listed in pages that go on where the last one ended", async () => {
    for (const tag of ["a", "b", "c", "d", "e"]) await pushImage(registry.url, "regctl/pages", tag, "regctl pages");
    expect(await lines("tag", "ls", "--limit", "2", at("regctl/pages"))).toEqual(["a", "b"]);
    expect(await lines("tag", "ls", "--limit", "2", "--last", "b", at("regctl/pages"))).toEqual(["c", "d"]);
    expect(await lines("tag", "ls", "--last", "d", at("regctl/pages"))).toEqual(["e"]);
  });

  test("a tag is deleted by its name, and the image stays", async () => {
    const { digest } = await pushImage(registry.url, "regctl/untag", "1.0", "regctl untag");
    await pushImage(registry.url, "regctl/untag", "latest", "regctl untag");
    const requests = await registry.wire.during(() => regctl.run("tag", "delete", at("regctl/untag:latest")));
    // Where a registry cannot delete a tag, this client pushes an image for the tag alone and deletes that.
    expect(requests.filter(({ method }) => method === "PUT")).toEqual([]);
    expect(await tagsOf("regctl/untag")).toEqual(["1.0"]);
    expect(await regctl.says("manifest", "head", at("regctl/untag:1.0"))).toBe(digest);
  });

  test("repositories are listed, and a limit of requests is asked for", async () => {
    await pushImage(registry.url, "regctl/repo", "1.0", "regctl repo");
    expect(await lines("repo", "ls", registry.name)).toContain("regctl/repo");
    expect(await regctl.json("image", "ratelimit", "--format", "{{json .}}", at("regctl/repo:1.0"))).toMatchObject({
      Set: false,
    });
  });
});

describe("what goes wrong", () => {
  test("what is not there is said not to be found", async () => {
    await pushImage(registry.url, "regctl/unknown", "1.0", "regctl unknown");
    expect((await regctl.fails("manifest", "head", at("regctl/unknown:2.0"))).stderr).toContain("not found");
    expect((await regctl.fails("tag", "ls", at("regctl/nowhere"))).stderr).toContain("not found");
  });

  test("the registry answered nothing with a fault of its own", () => {
    expect(registry.wire.exchanges.length).toBeGreaterThan(0);
    registry.expectNoFaults();
  });
});

interface Listed {
  readonly artifactType: string;
  readonly digest: string;
}

function at(reference: string): string {
  return `${registry.name}/${reference}`;
}

async function lines(...words: readonly string[]): Promise<readonly string[]> {
  return (await regctl.says(...words)).split("\n");
}

function tagsOf(repository: string): Promise<readonly string[]> {
  return lines("tag", "ls", at(repository));
}

async function attach(subject: string, type: string): Promise<void> {
  const file = ["--file", "large.bin", "--file-title"];
  await regctl.run("artifact", "put", "--artifact-type", type, "--subject", at(subject), ...file);
}

/** Copies the layout's index, whole, into the registry. */
async function copied(reference: string): Promise<string> {
  await regctl.run("image", "copy", `ocidir://${layout.folder}:all`, at(reference));
  return at(reference);
}

async function listed(reference: string, ...words: readonly string[]): Promise<readonly Listed[]> {
  const command = ["artifact", "list", "--format", "{{jsonPretty .Manifest}}", ...words, at(reference)];
  return (await regctl.json<{ readonly manifests: readonly Listed[] }>(...command)).manifests;
}

/** Asks the registry itself: the client prints bytes as they are. */
async function expectBlob(repository: string, digest: string): Promise<void> {
  const reply = await fetch(`${registry.url}/v2/${repository}/blobs/${digest}`);
  expect(digestOf(await reply.bytes())).toBe(digest);
}
