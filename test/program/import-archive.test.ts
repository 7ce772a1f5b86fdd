/** `stowage import` of folders and files: OCI image layouts, and archives of `docker save`. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { createRegistry } from "../../src/create-registry.ts";
import { TarError } from "../../src/lib/tar-archive.ts";
import { tarOf } from "../../src/lib/tar.ts";
import { openImageArchive } from "../../src/registry/import/image-archive.ts";
import { SourceError } from "../../src/registry/import/image-source.ts";
import { DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST } from "../support/content.ts";
import { runProgram } from "../support/program.ts";
import { scratchFolder } from "../support/scratch.ts";

setDefaultTimeout(60_000);

const scratch = await scratchFolder();
const CONFIG = "application/vnd.oci.image.config.v1+json";
const LAYER = "application/vnd.oci.image.layer.v1.tar";

type Files = Record<string, string | Uint8Array>;

/** The files of a layout, and what adds to it. */
function newLayout() {
  const files: Files = { "oci-layout": '{"imageLayoutVersion":"1.0.0"}' };
  const blob = (content: string | Uint8Array, mediaType: string, algorithm: string = "sha256") => {
    const hex = createHash(algorithm).update(content).digest("hex");
    files[`blobs/${algorithm}/${hex}`] = content;
    return { mediaType, digest: `${algorithm}:${hex}`, size: Buffer.byteLength(content) };
  };
  const image = (text: string, more: object = {}, algorithm?: string) =>
    blob(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: OCI_MANIFEST,
        config: blob("{}", CONFIG),
        layers: [blob(text, LAYER, algorithm)],
        ...more,
      }),
      OCI_MANIFEST,
      algorithm,
    );
  const index = (manifests: readonly object[]) =>
    blob(JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests }), OCI_INDEX);
  const close = (manifests: readonly object[]) => {
    files["index.json"] = JSON.stringify({ schemaVersion: 2, manifests });
    return files;
  };
  return { blob, image, index, close };
}

async function writeFolder(name: string, files: Files): Promise<string> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(scratch, name, path)), { recursive: true });
    await writeFile(join(scratch, name, path), content);
  }
  return join(scratch, name);
}

async function writeTar(name: string, files: Files): Promise<string> {
  await writeFile(join(scratch, name), tarOf(files));
  return join(scratch, name);
}

async function digestsIn(folder: string, paths: readonly string[]) {
  await using registry = await createRegistry({ storage: { folder } });
  return await Promise.all(
    paths.map(async (path) => {
      const reply = await registry.fetch(new Request(`http://registry/v2/${path}`));
      const body = await reply.text();
      return reply.ok ? (reply.headers.get("docker-content-digest") ?? body) : reply.status;
    }),
  );
}

const entry = (descriptor: object): string => JSON.stringify({ schemaVersion: 2, manifests: [descriptor] });
const named = (descriptor: object, annotations: Record<string, string>) => ({ ...descriptor, annotations });

test("an OCI image layout comes with its names, nested indexes, referrers and sha512, from a folder and again from a tar archive", async () => {
  const { image, index, close } = newLayout();
  const [one, two, other] = [image("amd64"), image("arm64"), image("by sha512", {}, "sha512")];
  const inner = index([one, two]);
  const outer = index([inner]);
  const signature = image("signature", { subject: outer, artifactType: "application/x.signature" });
  const more = image("more", { subject: signature, artifactType: "application/x.signature" });
  const files = close([
    named(outer, { "org.opencontainers.image.ref.name": "v1" }),
    named(outer, { "io.containerd.image.name": "docker.io/team/app:latest" }),
    other,
    signature,
    more,
  ]);
  const data = join(scratch, "layout-data");
  const first = await runProgram(data, ["import", await writeFolder("layout", files), "mirror/app", "--json"]);
  expect([first.stderr, first.exitCode]).toEqual([expect.any(String), 0]);
  expect(JSON.parse(first.stdout)).toMatchObject({ tags: 2, manifests: 7, failures: 0 });
  // The paths of sha512 are too long for tarOf.
  const tarred = Object.fromEntries(Object.entries(files).filter(([path]) => !path.startsWith("blobs/sha512")));
  const again = await runProgram(data, ["import", await writeTar("layout.tar", tarred), "mirror/app", "--json"]);
  expect(JSON.parse(again.stdout)).toMatchObject({ tags: 2, unchanged: 2, manifests: 0, blobs: 0 });
  expect(
    await digestsIn(data, [
      "mirror/app/manifests/v1",
      "mirror/app/manifests/latest",
      `mirror/app/manifests/${two.digest}`,
      `mirror/app/manifests/${other.digest}`,
    ]),
  ).toEqual([outer.digest, outer.digest, two.digest, other.digest]);
  const [list] = await digestsIn(data, [`mirror/app/referrers/${outer.digest}`]);
  expect(list).toContain(signature.digest);
  expect((await digestsIn(data, [`mirror/app/referrers/${signature.digest}`]))[0]).toContain(more.digest);
});

test("without a word images of a layout keep their names; with REPOSITORY:TAG one of them is chosen", async () => {
  const { image, close } = newLayout();
  const [a, b] = [image("a"), image("b")];
  const path = await writeTar(
    "named.tar",
    close([
      named(a, {
        "io.containerd.image.name": "registry.example.com:5000/team/a:v1",
        "org.opencontainers.image.ref.name": "v1",
      }),
      named(b, { "org.opencontainers.image.ref.name": "team/b:v2" }),
    ]),
  );
  const data = join(scratch, "named-data");
  for (const words of [[], ["renamed:v2"], ["--below", "mirror"]]) {
    expect((await runProgram(data, ["import", path, ...words])).exitCode).toBe(0);
  }
  const paths = ["team/a/manifests/v1", "team/b/manifests/v2", "renamed/manifests/v2", "mirror/team/a/manifests/v1"];
  expect(await digestsIn(data, paths)).toEqual([a.digest, b.digest, b.digest, a.digest]);
  expect((await runProgram(data, ["import", path, "renamed:absent"])).exitCode).toBe(1);
});

test("an archive of docker save without a layout gives a schema 2 manifest of its layers as they are, compressed or not", async () => {
  const layers = [tarOf({ a: "1" }), tarOf({ b: "2" }), tarOf({ c: "3" })];
  const diffIds = layers.map((layer) => `sha256:${createHash("sha256").update(layer).digest("hex")}`);
  const config = JSON.stringify({ architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: diffIds } });
  const configFile = `${createHash("sha256").update(config).digest("hex")}.json`;
  const [plain = new Uint8Array(), second = new Uint8Array(), third = new Uint8Array()] = layers;
  const files = {
    [configFile]: config,
    "0/layer.tar": plain,
    "1/layer.tar": gzipSync(second),
    "2/layer.tar": third,
    "manifest.json": JSON.stringify([
      {
        Config: configFile,
        RepoTags: ["docker.io/team/app:v1", "team/app:v2"],
        Layers: ["0/layer.tar", "1/layer.tar", "2/layer.tar"],
      },
    ]),
  };
  const data = join(scratch, "docker-data");
  const { exitCode, stdout } = await runProgram(data, ["import", await writeTar("docker.tar", files), "--json"]);
  expect([exitCode, JSON.parse(stdout)]).toMatchObject([0, { tags: 2, manifests: 1, blobs: 4 }]);
  await using registry = await createRegistry({ storage: { folder: data } });
  const manifest = (await (await registry.fetch(new Request("http://registry/v2/team/app/manifests/v1"))).json()) as {
    mediaType: string;
    layers: { mediaType: string; digest: string }[];
  };
  expect(manifest.mediaType).toBe(DOCKER_MANIFEST);
  expect(manifest.layers.map(({ mediaType }) => mediaType.split(".diff.")[1])).toEqual(["tar", "tar.gzip", "tar"]);
  expect(manifest.layers.map(({ digest }) => digest)).toEqual([diffIds[0], expect.any(String), diffIds[2]] as string[]);

  const damaged = { ...files, "2/layer.tar": tarOf({ c: "4" }) };
  const bad = await runProgram(join(scratch, "bad-data"), ["import", await writeTar("bad.tar", damaged), "--json"]);
  expect([bad.exitCode, JSON.parse(bad.stdout)]).toMatchObject([1, { tags: 0, failures: 2 }]);
});

test("hostile and damaged archives are refused in one line, and nothing of them is stored", async () => {
  const { image, index, blob, close } = newLayout();
  const good = image("good");
  const files = close([named(good, { "org.opencontainers.image.ref.name": "team/app:v1" })]);
  let nested = image("deep");
  for (let depth = 0; depth < 12; depth++) nested = index([nested]);
  const absent = { ...good, digest: good.digest.replace(/.$/, (last) => (last === "0" ? "1" : "0")) };
  const tar = Buffer.from(tarOf(files));
  const typed = (type: string): Buffer => {
    const changed = Buffer.from(tar);
    changed.write("        ", 148);
    changed.write(type, 156);
    const sum = changed.subarray(0, 512).reduce((all, byte) => all + byte, 0);
    changed.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
    return changed;
  };
  const archives: Record<string, string | Uint8Array> = {
    "traversal by digest": tarOf({ ...files, "index.json": entry({ ...good, digest: "sha256:../../../etc/passwd" }) }),
    "traversal by algorithm": tarOf({ ...files, "index.json": entry({ ...good, digest: "../x:00" }) }),
    "list too deep": tarOf({ ...files, "index.json": `${"[".repeat(100_000)}${"]".repeat(100_000)}` }),
    "no JSON": tarOf({ ...files, "index.json": "{" }),
    "damaged manifest": tarOf({ ...files, [`blobs/${good.digest.replace(":", "/")}`]: "{}" }),
    "config outside": tarOf({
      "manifest.json": JSON.stringify([{ Config: "../../etc/passwd", RepoTags: ["a:b"], Layers: [] }]),
    }),
    "layer outside": tarOf({
      "manifest.json": JSON.stringify([{ Config: "c", RepoTags: ["a:b"], Layers: ["/etc/passwd"] }]),
      c: JSON.stringify({ rootfs: { diff_ids: ["sha256:00"] } }),
    }),
    "not an archive": blob("text ".repeat(1000), "x").digest.repeat(20),
    empty: "",
    compressed: gzipSync(tar),
    truncated: tar.subarray(0, 700),
    "wrong checksum": Buffer.concat([Buffer.from("x"), tar.subarray(1)]),
    "sparse file": typed("S"),
    device: typed("3"),
    pipe: typed("6"),
  };
  for (const [what, bytes] of Object.entries(archives)) {
    await writeFile(join(scratch, "hostile.tar"), bytes);
    const error: unknown = await openImageArchive(join(scratch, "hostile.tar")).catch((caught: unknown) => caught);
    expect([what, error instanceof SourceError || error instanceof TarError]).toEqual([what, true]);
  }
  const data = join(scratch, "hostile-data");
  const lists = {
    absent: entry(absent),
    nested: entry(nested),
    traversal: entry({ digest: "sha256:../../../etc/passwd" }),
  };
  for (const [what, list] of Object.entries(lists)) {
    const path = await writeTar("listed.tar", { ...files, "index.json": list });
    const { exitCode, stderr } = await runProgram(data, ["import", path, "team/app"]);
    expect([what, exitCode, /^stowage: [^\n]+\n$/.test(stderr)]).toEqual([what, 1, true]);
  }
  expect(await digestsIn(data, ["_catalog"])).toEqual(['{"repositories":[]}']);
});
