/** The built library inside other programs: on plain Node, on Bun, and for a compiler. */
import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { installBuilt } from "../support/built-package.ts";
import { examplesOf } from "../support/examples.ts";
import { ROOT } from "../support/registry.ts";
import { scratchFolder } from "../support/scratch.ts";
import { LISTEN, OTHER_SITES, PUSH_AND_PULL, asCommonJs } from "./programs.ts";

setDefaultTimeout(60_000);

const folder = await scratchFolder();
beforeAll(() => installBuilt(folder));

describe("on plain Node", () => {
  test("a registry in memory takes a push and gives it back", async () => {
    const ended = await run(["node"], "push-and-pull.mjs", PUSH_AND_PULL);
    expect(ended).toEqual({ exitCode: 0, stdout: "undefined: all as it was pushed\n", stderr: "" });
  });

  test("a registry on a port takes a push and gives it back, also after it was cleared", async () => {
    expect(await run(["node"], "listen.mjs", LISTEN)).toEqual({ exitCode: 0, stdout: "", stderr: "" });
  });

  test("a registry on a port of this machine without login refuses other sites unless told otherwise", async () => {
    expect(await run(["node"], "other-sites.mjs", OTHER_SITES)).toEqual({ exitCode: 0, stdout: "", stderr: "" });
  });

  test("a program of CommonJS requires it", async () => {
    expect(await run(["node"], "listen.cjs", asCommonJs(LISTEN))).toEqual({ exitCode: 0, stdout: "", stderr: "" });
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

  test("a registry on a port of this machine without login refuses other sites unless told otherwise", async () => {
    const ended = await run([process.execPath], "other-sites-on-bun.mjs", OTHER_SITES);
    expect(ended).toEqual({ exitCode: 0, stdout: "", stderr: "" });
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

  test("a registry on a port takes a push and gives it back, also after it was cleared", async () => {
    expect(await run([process.execPath], "listen.mjs", LISTEN)).toEqual({ exitCode: 0, stdout: "", stderr: "" });
  });
});

const examples = await examplesOf("README.md", "docs/library.md");
describe("an example of the documents", () => {
  test("is found on each page", () => {
    expect(new Set(examples.map(({ page }) => page))).toEqual(new Set(["README.md", "docs/library.md"]));
  });
  for (const [at, { page, code, printed }] of examples.entries()) {
    test(`runs on Node and prints what it says: ${page}, ${code.split("\n", 1)[0]} (${at + 1})`, async () => {
      const ended = await run(["node"], `example-${at}.mjs`, new Bun.Transpiler({ loader: "ts" }).transformSync(code));
      expect(ended).toMatchObject({ exitCode: 0, stderr: "" });
      expect(ended.stdout.trimEnd().replaceAll("\n", ", ")).toMatch(printed);
    });
  }
});

describe("for a compiler", () => {
  const files = { "typed.mts": TYPED, "typed.cts": TYPED };

  test("the types say what there is, to modules and CommonJS with esnext, dom, dom.iterable", async () => {
    const { exitCode, stdout } = await compile(files, { lib: ["esnext", "dom", "dom.iterable"] });
    expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: "" });
  });

  test("the types say what there is, to modules and CommonJS with esnext, and a wrong use is all that is found", async () => {
    const wrong = `import { createRegistry } from "stowage";\nawait createRegistry({ storage: "tape" });\n`;
    const { exitCode, stdout } = await compile({ ...files, "wrong.mts": wrong }, { lib: ["esnext"] });
    expect(exitCode).not.toBe(0);
    const errors = stdout.split("\n").filter((line) => /^\S+\(\d+,/.test(line));
    expect(errors).toEqual([expect.stringMatching(/^(?:.*\/)?wrong\.mts\(2,.*tape/)]);
  });
});

/** What the compiler says of programs, by their names, that lie beside the installed library. */
async function compile(programs: Readonly<Record<string, string>>, more: object = {}) {
  const files = Object.keys(programs);
  for (const [name, program] of Object.entries(programs)) await writeFile(join(folder, name), program);
  const project = join(folder, `${files.join("-")}.json`);
  const compilerOptions = {
    module: "nodenext",
    target: "esnext",
    strict: true,
    noEmit: true,
    types: ["node"],
    ...more,
  };
  await writeFile(project, JSON.stringify({ compilerOptions, files }));
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

const TYPED = `
import { OciError, createRegistry, digestOf, pushImage, repositoryName, tag } from "stowage";
import type { Blob, BlobUpload, Digest, ManifestDescriptor, Namespace, Registry, RegistryListener } from "stowage";
import type { Repository } from "stowage";

async function main() {
const registry: Registry = await createRegistry({ storage: "memory", limits: { inlineBytes: 0 } });
const namespace: Namespace = registry.namespace;
const repository: Repository = namespace.repository(repositoryName("team/app"));
const digest: Digest = digestOf(new Uint8Array());
const upload: BlobUpload = await repository.blobs.upload();
await upload.finish([digest]);
const blob: Blob | undefined = await repository.blobs.find(digest);
const size: number | undefined = blob?.size;
for await (const { name } of repository.tags.list({ after: "a" })) console.log(tag(name), size);
const listener: RegistryListener = await registry.listen({ port: 0 });
const image: ManifestDescriptor = await pushImage(namespace, "team/app:1.0", { layers: [{ "a.txt": "a" }] });
console.log(listener.url, image.size);
const reply: Response = await registry.fetch(new Request("http://registry/v2/"));
console.log(reply.status, new OciError("BLOB_UNKNOWN").code);
await registry.close();
}
void main();
`;
