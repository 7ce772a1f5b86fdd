/** `stowage export`, and back by `stowage import`; archives for docker load; what is damaged or cannot be written. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFile, readdir, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createRegistry } from "../../src/create-registry.ts";
import { TarArchive } from "../../src/lib/tar-archive.ts";
import { digest as parsedDigest } from "../../src/oci/digest.ts";
import { repositoryName } from "../../src/oci/repository-name.ts";
import type { Namespace } from "../../src/registry/namespace.ts";
import { pushImage } from "../../src/registry/push-image.ts";
import { bytesOf, descriptorOf, digestOf, imageManifest, OCI_CONFIG, OCI_LAYER } from "../support/content.ts";
import { runProgram } from "../support/program.ts";
import { scratchFolder } from "../support/scratch.ts";

setDefaultTimeout(60_000);

const scratch = await scratchFolder();
const at = (name: string): string => join(scratch, name);

/** A registry with an index, referrers of referrers, and an image by sha512. */
async function fill(folder: string) {
  await using registry = await createRegistry({ storage: { folder } });
  const { namespace } = registry;
  const index = await pushImage(namespace, "my.team/app:v1,latest", {
    platforms: ["linux/amd64", "linux/arm64"],
    layers: [{ a: "1" }, { b: Buffer.from(bytesOf("b", 300_000)) }],
  });
  const signature = await pushImage(namespace, "my.team/app", {
    subject: index,
    artifactType: "application/x.signature",
  });
  const { manifests } = JSON.parse(await manifestText(namespace, index.digest)) as {
    manifests: { mediaType: string; digest: string; size: number }[];
  };
  const [platform] = manifests;
  if (!platform) throw new Error("the index lists no manifest");
  const ofPlatform = await pushImage(namespace, "my.team/app", {
    subject: platform,
    artifactType: "application/x.sbom",
  });
  const more = await pushImage(namespace, "my.team/app", { subject: signature, artifactType: "application/x.more" });
  const repository = namespace.repository(repositoryName("other"));
  const content = "content by sha512";
  const layer = { ...descriptorOf(OCI_LAYER, content), digest: digestOf(content, "sha512") };
  const config = descriptorOf(OCI_CONFIG, "{}");
  for (const [digest, text] of [
    [layer.digest, content],
    [config.digest, "{}"],
  ] as const) {
    const upload = await repository.blobs.upload();
    await upload.finish(
      [parsedDigest(digest)],
      (async function* () {
        yield Buffer.from(text);
      })(),
    );
  }
  const manifest = Buffer.from(imageManifest(config, [layer]));
  const other = digestOf(manifest, "sha512");
  await repository.manifests.put(manifest, { digest: parsedDigest(other) });
  return { index, signature, more, other, platform, ofPlatform };
}

async function manifestText(namespace: Namespace, digest: string): Promise<string> {
  const found = await namespace.repository(repositoryName("my.team/app")).manifests.find(parsedDigest(digest));
  return Buffer.from(found?.payload ?? []).toString();
}

async function get(folder: string, ...paths: readonly string[]) {
  await using registry = await createRegistry({ storage: { folder } });
  return await Promise.all(
    paths.map(async (path) => {
      const reply = await registry.fetch(new Request(`http://registry/v2/${path}`));
      return reply.ok ? await reply.text() : reply.status;
    }),
  );
}

const data = at("data");
const filled = await fill(data);
const words = ["my.team/app", `other@${filled.other}`];

test("what export writes comes back by import, by folder and by tar archive, with index, referrers and sha512", async () => {
  const { index, signature, more, other, platform, ofPlatform } = filled;
  const paths = [
    "_catalog",
    "my.team/app/manifests/v1",
    "my.team/app/manifests/latest",
    `my.team/app/referrers/${index.digest}`,
    `my.team/app/referrers/${signature.digest}`,
    `my.team/app/referrers/${platform.digest}`,
    `my.team/app/manifests/${ofPlatform.digest}`,
    `my.team/app/manifests/${more.digest}`,
    `other/manifests/${other}`,
  ];
  const expected = await get(data, ...paths);
  expect(expected).toEqual(expected.map(() => expect.any(String)) as string[]);
  for (const target of ["layout", "layout.tar"]) {
    const exported = await runProgram(data, ["export", ...words, "--to", at(target), "--json"]);
    expect([exported.stderr, exported.exitCode]).toEqual(["", 0]);
    expect(JSON.parse(exported.stdout)).toMatchObject({ images: 3, failures: 0 });
    const back = at(`back-${target}`);
    const imported = await runProgram(back, ["import", at(target), "--json"]);
    expect([imported.exitCode, JSON.parse(imported.stdout)]).toMatchObject([0, { tags: 2, failures: 0 }]);
    expect(await get(back, ...paths)).toEqual(expected);
  }
});

test("a folder keeps what is right in it, mends what is not, and keeps its other images; a file is not replaced", async () => {
  const folder = at("resumed");
  const run = async (...more: readonly string[]) =>
    await runProgram(data, ["export", ...more, "--to", folder, "--json"]);
  const first = JSON.parse((await run(`other@${filled.other}`)).stdout) as { blobs: number };
  await run("my.team/app:v1", "--no-referrers");
  const [big = ""] = await readdir(join(folder, "blobs/sha256"));
  await truncate(join(folder, "blobs/sha256", big), 1);
  const again = JSON.parse((await run(...words)).stdout) as { blobs: number };
  expect([first.blobs, again]).toMatchObject([3, { images: 3, failures: 0 }]);
  const last = JSON.parse((await run(...words)).stdout) as { blobs: number };
  expect(last).toMatchObject({ blobs: 0, bytes: 0 });
  for (const name of await readdir(join(folder, "blobs/sha256"))) {
    expect(digestOf(await readFile(join(folder, "blobs/sha256", name)))).toBe(`sha256:${name}`);
  }
  const { manifests } = JSON.parse(await readFile(join(folder, "index.json"), "utf8")) as { manifests: unknown[] };
  expect(manifests).toHaveLength(6); // v1, latest, the other image and three referrers
  await writeFile(at("there.tar"), "text");
  expect((await runProgram(data, ["export", "--to", at("there.tar")])).exitCode).toBe(1);
  expect(await readFile(at("there.tar"), "utf8")).toBe("text");
  expect((await runProgram(data, ["export", "--to", scratch])).exitCode).toBe(1); // not empty, and no layout
});

test("--format docker writes manifest.json for one platform of each image, and import reads it", async () => {
  const file = at("docker.tar");
  const { exitCode } = await runProgram(data, [
    "export",
    "my.team/app:v1",
    "--to",
    file,
    "--format",
    "docker",
    "--platform",
    "linux/arm64",
  ]);
  expect(exitCode).toBe(0);
  const archive = await TarArchive.open(file);
  let text = "";
  for await (const piece of archive.read("manifest.json")) text += Buffer.from(piece).toString();
  const [image] = JSON.parse(text) as { Config: string; RepoTags: string[]; Layers: string[] }[];
  expect(image?.RepoTags).toEqual(["localhost:5000/my.team/app:v1"]);
  expect(image?.Layers.map((name) => archive.size(name) !== undefined)).toEqual([true, true]);
  expect((await runProgram(at("docker-back"), ["import", file])).exitCode).toBe(0);
  const [manifest = ""] = await get(at("docker-back"), "my.team/app/manifests/v1");
  expect((JSON.parse(manifest as string) as { layers: unknown[] }).layers).toHaveLength(2);
});

test("an image that is damaged is named, the others are exported; wrong words exit with 1 before anything is written", async () => {
  const broken = at("broken");
  await fill(broken);
  const files = await readdir(broken, { recursive: true, withFileTypes: true });
  let largest = { path: "", size: 0 };
  for (const each of files.filter(
    (file) => file.isFile() && !file.name.includes(".sqlite") && !file.name.endsWith(".db"),
  )) {
    const path = join(each.parentPath, each.name);
    const { size } = await stat(path);
    if (size > largest.size && path.includes("blobs")) largest = { path, size };
  }
  await truncate(largest.path, 100);
  const { exitCode, stdout, stderr } = await runProgram(broken, ["export", ...words, "--to", at("part"), "--json"]);
  expect([exitCode, JSON.parse(stdout)]).toMatchObject([1, { images: 1, failures: 2 }]);
  expect(stderr).toContain("my.team/app:v1");
  for (const wrong of [
    ["no/such", "--to", at("no")],
    ["my.team/app:", "--to", at("no")],
    ["my.team/app@sha256:00", "--to", at("no")],
    ["my.team/app"],
    ["my.team/app", "--to", at("no"), "--format", "docker"],
  ]) {
    expect([wrong, (await runProgram(data, ["export", ...wrong])).exitCode]).toEqual([wrong, 1]);
  }
  await expect(stat(at("no"))).rejects.toThrow();
});
