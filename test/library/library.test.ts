/** The built library inside other programs: on plain Node, on Bun, and for a compiler. */
import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { installBuilt } from "../support/built-package.ts";
import { ROOT } from "../support/registry.ts";
import { scratchFolder } from "../support/scratch.ts";

setDefaultTimeout(60_000);

const folder = await scratchFolder();
beforeAll(() => installBuilt(folder));

describe("on plain Node", () => {
  test("a registry in memory takes a push and gives it back", async () => {
    const ended = await run(["node"], "push-and-pull.mjs", PUSH_AND_PULL);
    expect(ended).toEqual({ exitCode: 0, stdout: "undefined: all as it was pushed\n", stderr: "" });
  });

  test("nothing is printed and nothing keeps the process alive", async () => {
    const program = `
      import { createRegistry } from "stowage";
      const registry = await createRegistry({ storage: "memory" });
      await registry.fetch(new Request("http://registry/v2/"));`;
    expect(await run(["node"], "quiet.mjs", program)).toEqual({ exitCode: 0, stdout: "", stderr: "" });
  });
});

describe("on Bun", () => {
  test("a registry in memory takes a push and gives it back", async () => {
    const ended = await run([process.execPath], "push-and-pull-on-bun.mjs", PUSH_AND_PULL);
    expect(ended).toEqual({ exitCode: 0, stdout: "object: all as it was pushed\n", stderr: "" });
  });

  test("a registry in a folder keeps what was pushed", async () => {
    const program = `
      import assert from "node:assert/strict";
      import { createRegistry, digestOf } from "stowage";
      const storage = { folder: ${JSON.stringify(join(folder, "images"))} };
      const content = new Uint8Array(100_000).fill(7);
      const digest = digestOf(content);
      const address = "http://registry/v2/team/app/blobs/";
      {
        await using registry = await createRegistry({ storage });
        const push = new Request(address + "uploads/?digest=" + digest, { method: "POST", body: content });
        assert.equal((await registry.fetch(push)).status, 201);
      }
      await using again = await createRegistry({ storage });
      const pull = await again.fetch(new Request(address + digest));
      assert.deepEqual(new Uint8Array(await pull.arrayBuffer()), content);`;
    const ended = await run([process.execPath], "folder.mjs", program);
    expect(ended).toEqual({ exitCode: 0, stdout: "", stderr: "" });
    expect(await readdir(join(folder, "images"))).toEqual(expect.arrayContaining(["blobs", "registry.db"]));
  });

  test("the example of docs/library.md does what it says", async () => {
    const page = await readFile(join(ROOT, "docs/library.md"), "utf8");
    const [, example = ""] = /^```ts\n(.*?)^```$/ms.exec(page) ?? [];
    expect(example).toContain("createRegistry(");
    expect(await run([process.execPath], "example.ts", example)).toEqual({ exitCode: 0, stdout: "", stderr: "" });
  });
});

describe("for a compiler", () => {
  test("the types say what there is, however strict it is", async () => {
    const { exitCode, stdout } = await compile("typed.mts", TYPED);
    expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: "" });
  });

  test("a wrong use is found", async () => {
    const wrong = `import { createRegistry } from "stowage";\nawait createRegistry({ storage: "tape" });\n`;
    const { exitCode, stdout } = await compile("wrong.mts", wrong);
    expect(exitCode).not.toBe(0);
    expect(stdout).toContain("wrong.mts(2,");
    expect(stdout).toContain("tape");
  });
});

/** What the compiler says of a program that lies beside the installed library. */
async function compile(name: string, program: string) {
  await writeFile(join(folder, name), program);
  const project = join(folder, `${name}.json`);
  const compilerOptions = { module: "nodenext", target: "esnext", strict: true, noEmit: true, types: ["node"] };
  await writeFile(project, JSON.stringify({ compilerOptions, files: [name] }));
  return await outcomeOf([process.execPath, join(ROOT, "node_modules/.bin/tsc"), "--project", project]);
}

/** Runs a program that lies beside the installed library. */
async function run(runtime: readonly string[], name: string, program: string) {
  const path = join(folder, name);
  await writeFile(path, program);
  return await outcomeOf([...runtime, path]);
}

async function outcomeOf(command: readonly string[]) {
  const child = Bun.spawn([...command], {
    cwd: folder,
    env: { PATH: process.env["PATH"] ?? "" },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return { exitCode: await child.exited, stdout, stderr };
}

const PUSH_AND_PULL = `
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createRegistry, repositoryName } from "stowage";

const registry = await createRegistry({ storage: "memory" });
const send = (method, path, body, headers = {}) =>
  registry.fetch(new Request("http://registry" + path, { method, body, headers, duplex: "half" }));
const digestOf = (bytes) => "sha256:" + createHash("sha256").update(bytes).digest("hex");
const contents = [new TextEncoder().encode('{"architecture":"amd64","os":"linux"}'), new Uint8Array(300_000).fill(5)];

const [small, large] = contents.map((bytes) => ({ digest: digestOf(bytes), size: bytes.length }));
const single = await send("POST", "/v2/team/app/blobs/uploads/?digest=" + small.digest, contents[0]);
assert.equal(single.status, 201, await single.text());
const begun = await send("POST", "/v2/team/app/blobs/uploads/");
const location = begun.headers.get("location");
assert.equal((await send("PATCH", location, contents[1].subarray(0, 100_000))).status, 202);
const closed = await send("PUT", location + "?digest=" + large.digest, contents[1].subarray(100_000));
assert.equal(closed.status, 201, await closed.text());

const type = "application/vnd.oci.image.manifest.v1+json";
const manifest = JSON.stringify({
  schemaVersion: 2,
  mediaType: type,
  config: { mediaType: "application/vnd.oci.image.config.v1+json", ...small },
  layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar", ...large }],
});
for (const tag of ["v1", "v2"]) {
  const put = await send("PUT", "/v2/team/app/manifests/" + tag, manifest, { "content-type": type });
  assert.equal(put.status, 201, await put.text());
}

const pulled = await send("GET", "/v2/team/app/manifests/v1");
assert.equal(pulled.headers.get("content-type"), type);
assert.equal(await pulled.text(), manifest);
for (const [at, { digest }] of [small, large].entries()) {
  const blob = await send("GET", "/v2/team/app/blobs/" + digest);
  assert.deepEqual(new Uint8Array(await blob.arrayBuffer()), contents[at]);
}
const part = await send("GET", "/v2/team/app/blobs/" + large.digest, undefined, { range: "bytes=10-19" });
assert.equal(part.status, 206);
assert.equal((await part.arrayBuffer()).byteLength, 10);
const list = async (path) => await (await send("GET", path)).json();
assert.deepEqual(await list("/v2/team/app/tags/list"), { name: "team/app", tags: ["v1", "v2"] });
assert.deepEqual(await list("/v2/team/app/tags/list?n=1"), { name: "team/app", tags: ["v1"] });
assert.deepEqual(await list("/v2/_catalog"), { repositories: ["team/app"] });
assert.deepEqual((await list("/v2/team/app/referrers/" + digestOf(manifest))).manifests, []);
assert.equal((await send("HEAD", "/v2/team/app/blobs/" + digestOf("absent"))).status, 404);
assert.equal((await send("DELETE", "/v2/team/app/manifests/" + digestOf(manifest))).status, 202);
assert.equal(await registry.namespace.repository(repositoryName("team/app")).exists(), true);
await registry.close();
console.log(typeof Bun + ": all as it was pushed");
`;

const TYPED = `
import { OciError, createRegistry, digestOf, repositoryName, tag } from "stowage";
import type { Blob, BlobUpload, Digest, Namespace, Registry, Repository } from "stowage";

const registry: Registry = await createRegistry({ storage: "memory", limits: { inlineBytes: 0 } });
const namespace: Namespace = registry.namespace;
const repository: Repository = namespace.repository(repositoryName("team/app"));
const digest: Digest = digestOf(new Uint8Array());
const upload: BlobUpload = await repository.blobs.upload();
await upload.finish([digest]);
const blob: Blob | undefined = await repository.blobs.find(digest);
const size: number | undefined = blob?.size;
for await (const { name } of repository.tags.list({ after: "a" })) console.log(tag(name), size);
const reply: Response = await registry.fetch(new Request("http://registry/v2/"));
console.log(reply.status, new OciError("BLOB_UNKNOWN").code);
await registry.close();
`;
