/** Crane, of go-containerregistry: the library of ko, kaniko, cosign, flux and Trivy. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { pushImage, putManifest } from "../support/client.ts";
import { digestOf, DOCKER_MANIFEST, OCI_INDEX } from "../support/content.ts";
import { Client } from "./support/client.ts";
import { sumOf, writeRandomArchive } from "./support/image-files.ts";
import type { RandomArchive } from "./support/image-files.ts";
import { run } from "./support/programs.ts";
import { usualModeOf } from "./support/modes.ts";
import { WatchedRegistry } from "./support/watched-registry.ts";
import { blobReadsIn, mountsIn, uploadsIn } from "./support/wire.ts";

const resources = new AsyncDisposableStack();
let registry: WatchedRegistry;
let crane: Client;

beforeAll(async () => {
  registry = resources.use(await WatchedRegistry.start(usualModeOf("crane")));
  crane = resources.use(await Client.of("crane", registry));
});

afterAll(() => resources.disposeAsync());

describe("crane append, export and validate", () => {
  test("an image made of an archive is whole, and its file comes back", async () => {
    const [image, archive] = await appended("crane/append:1.0");
    const served = await registry.getManifest("crane/append", "1.0");
    expect(served.mediaType).toBe(DOCKER_MANIFEST);
    expect(await crane.says("digest", image)).toBe(served.digest);
    expect(await crane.says("manifest", image)).toBe(served.text);
    expect(await crane.says("validate", "--remote", image)).toContain("PASS");
    expect(await crane.says("blob", `${at("crane/append")}@${served.json.config?.digest}`)).toBe(
      await crane.says("config", image),
    );
    await expectExported(image, archive);
  });

  test("a second push of the same image uploads nothing", async () => {
    const [image] = await appended("crane/twice:1.0");
    await crane.run("pull", image, crane.file("twice.tar"));
    const requests = await registry.wire.during(() => crane.run("push", crane.file("twice.tar"), image));
    expect(requests.filter(({ method, status }) => method === "HEAD" && status === 200)).not.toEqual([]);
    expect(uploadsIn(requests)).toEqual([]);
  });

  test("labels, more layers and fewer layers give new images under their digests", async () => {
    const [image, archive] = await appended("crane/change:1.0");
    const second = await writeRandomArchive(crane.folder);
    await crane.run("append", "--base", image, "--new_layer", second.tar, "--new_tag", at("crane/change:2.0"));
    await crane.run("mutate", at("crane/change:2.0"), "--label", "made=here", "--tag", at("crane/change:3.0"));
    const config = await crane.json<{ config: { Labels: unknown } }>("config", at("crane/change:3.0"));
    expect(config.config.Labels).toEqual({ made: "here" });
    await crane.run("flatten", at("crane/change:3.0"), "--tag", at("crane/change:flat"));
    expect((await registry.getManifest("crane/change", "3.0")).json.layers).toHaveLength(2);
    expect((await registry.getManifest("crane/change", "flat")).json.layers).toHaveLength(1);
    for (const file of [archive, second]) await expectExported(at("crane/change:flat"), file);
  });
});

describe("crane copy and crane tag", () => {
  test("a copy into another repository mounts every blob and keeps the digest", async () => {
    const [image, archive] = await appended("crane/from:1.0");
    const requests = await registry.wire.during(() => crane.run("copy", image, at("crane/copies/to:1.0")));
    expect(mountsIn(requests)).toHaveLength(2);
    expect([...blobReadsIn(requests), ...uploadsIn(requests)]).toEqual([]);
    expect(await crane.says("digest", at("crane/copies/to:1.0"))).toBe(await crane.says("digest", image));
    await expectExported(at("crane/copies/to:1.0"), archive);
  });

  test("all tags of a repository are copied at once", async () => {
    await appended("crane/all:a");
    await appended("crane/all:b");
    await crane.run("copy", "--all-tags", at("crane/all"), at("crane/all-copied"));
    for (const tag of ["a", "b"]) {
      expect((await registry.getManifest("crane/all-copied", tag)).digest).toBe(
        (await registry.getManifest("crane/all", tag)).digest,
      );
    }
  });

  test("a tag is another name of the same image", async () => {
    const [image] = await appended("crane/tag:1.0");
    await crane.run("tag", image, "latest");
    expect(await lines("ls", at("crane/tag"))).toEqual(["1.0", "latest"]);
    expect(await crane.says("digest", at("crane/tag:latest"))).toBe(await crane.says("digest", image));
  });
});

describe("crane pull, push and index", () => {
  test("an index for two platforms goes into a folder and comes back byte for byte", async () => {
    for (const platform of ["amd64", "arm64"]) {
      const [image] = await appended(`crane/index/${platform}:1.0`);
      await crane.run("mutate", image, "--set-platform", `linux/${platform}`, "--tag", image);
    }
    const images = ["amd64", "arm64"].flatMap((platform) => ["--manifest", at(`crane/index/${platform}:1.0`)]);
    await crane.run("index", "append", ...images, "--tag", at("crane/index:1.0"));
    const served = await registry.getManifest("crane/index", "1.0");
    expect(served.json.manifests?.map(({ platform }) => platform?.architecture)).toEqual(["amd64", "arm64"]);
    const arm = await crane.says("digest", "--platform", "linux/arm64", at("crane/index:1.0"));
    expect(arm).toBe((await registry.getManifest("crane/index/arm64", "1.0")).digest);

    await crane.run("pull", "--format", "oci", at("crane/index:1.0"), crane.file("layout"));
    expect(await readFile(join(crane.file("layout"), "blobs", served.digest.replace(":", "/")), "utf8")).toBe(
      served.text,
    );
    await crane.run("push", "--index", crane.file("layout"), at("crane/pushed:1.0"));
    const pushed = await registry.getManifest("crane/pushed", "1.0");
    expect(pushed.mediaType).toBe(OCI_INDEX);
    expect(pushed.json.manifests?.map(({ digest }) => digest)).toEqual([served.digest]);
    expect(await crane.says("validate", "--remote", at("crane/pushed:1.0"))).toContain("PASS");
  });
});

describe("crane ls and crane catalog", () => {
  test("all tags are listed in their order over several pages", async () => {
    const { body } = await pushImage(registry.url, "crane/many", "t0000");
    const tags = Array.from({ length: 2100 }, (_, number) => `t${String(number).padStart(4, "0")}`);
    for (let first = 0; first < tags.length; first += 10) {
      const query = tags.slice(first, first + 10).map((tag) => `tag=${tag}`);
      const reply = await putManifest(registry.url, "crane/many", `${digestOf(body)}?${query.join("&")}`, body);
      expect(reply.status).toBe(201);
    }
    let listed: readonly string[] = [];
    const requests = await registry.wire.during(async () => (listed = await lines("ls", at("crane/many"))));
    expect(listed).toEqual(tags);
    const links = requests.flatMap(({ replyHeaders }) => replyHeaders["link"] ?? []);
    expect(links).toHaveLength(2);
    // An address with a host in it is refused when the client writes the host another way.
    for (const link of links) expect(link).toStartWith("</v2/crane/many/tags/list?");
  });

  test("the catalog has every repository", async () => {
    await pushImage(registry.url, "crane/catalog/a", "1.0");
    await pushImage(registry.url, "crane/catalog/b", "1.0");
    const repositories = await lines("catalog", registry.name);
    expect(repositories.filter((name) => name.startsWith("crane/catalog/"))).toEqual([
      "crane/catalog/a",
      "crane/catalog/b",
    ]);
  });
});

describe("crane delete", () => {
  test("an image that is deleted by its digest is gone with its tags, and only from its repository", async () => {
    const [image] = await appended("crane/delete:1.0");
    await crane.run("tag", image, "latest");
    await crane.run("copy", image, at("crane/delete-not:1.0"));
    await appended("crane/delete:other");
    const digest = await crane.says("digest", image);
    await crane.run("delete", `${at("crane/delete")}@${digest}`);
    expect(await lines("ls", at("crane/delete"))).toEqual(["other"]);
    expect((await crane.fails("manifest", image)).stderr).toContain("MANIFEST_UNKNOWN");
    expect(await crane.says("digest", at("crane/delete-not:1.0"))).toBe(digest);
  });

  test("a tag that is deleted by its name leaves the image and its other tags", async () => {
    const [image] = await appended("crane/untag:1.0");
    await crane.run("tag", image, "latest");
    await crane.run("delete", at("crane/untag:latest"));
    expect(await lines("ls", at("crane/untag"))).toEqual(["1.0"]);
    expect(await crane.says("validate", "--remote", image)).toContain("PASS");
  });
});

describe("what goes wrong", () => {
  test("what is not there is said to be unknown", async () => {
    await appended("crane/unknown:1.0");
    expect((await crane.fails("digest", at("crane/unknown:2.0"))).stderr).toContain("MANIFEST_UNKNOWN");
    expect((await crane.fails("ls", at("crane/nowhere"))).stderr).toContain("NAME_UNKNOWN");
  });

  test("the registry answered nothing with a fault of its own", () => {
    expect(registry.wire.exchanges.length).toBeGreaterThan(0);
    registry.expectNoFaults();
  });
});

function at(reference: string): string {
  return `${registry.name}/${reference}`;
}

async function lines(...words: readonly string[]): Promise<readonly string[]> {
  return (await crane.says(...words)).split("\n");
}

/** Makes an image of one random file and nothing else. */
async function appended(reference: string): Promise<readonly [image: string, archive: RandomArchive]> {
  const archive = await writeRandomArchive(crane.folder);
  await crane.run("append", "--new_layer", archive.tar, "--new_tag", at(reference));
  return [at(reference), archive];
}

async function expectExported(image: string, { name, sum }: RandomArchive): Promise<void> {
  await crane.run("export", image, crane.file("exported.tar"));
  await run("tar", ["-C", crane.folder, "-xf", crane.file("exported.tar"), name]);
  expect(await sumOf(crane.file(name))).toBe(sum);
}
