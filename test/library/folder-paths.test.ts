/** Folders as programs and people write them: all ways to name the same folder open the same registry. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdir, mkdtemp, readdir, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { createRegistry, digestOf, repositoryName } from "../../src/index.ts";
import type { Registry } from "../../src/index.ts";

const root = await mkdtemp(join(tmpdir(), "stowage-paths-"));
afterAll(async () => {
  await rm(root, { recursive: true, force: true });
});

const CONTENT = new TextEncoder().encode("a blob that is a file");
const DIGEST = digestOf(CONTENT);
const NAME = repositoryName("team/app");

async function open(folder: string): Promise<Registry> {
  return await createRegistry({ storage: { folder }, limits: { inlineBytes: 0 } });
}

async function push(registry: Registry): Promise<void> {
  const upload = await registry.namespace.repository(NAME).blobs.upload();
  await upload.finish(
    [DIGEST],
    (async function* () {
      yield CONTENT;
    })(),
  );
}

async function pull(registry: Registry): Promise<Uint8Array> {
  const response = await registry.fetch(new Request(`http://localhost/v2/${NAME}/blobs/${DIGEST}`));
  expect(response.status).toBe(200);
  return new Uint8Array(await response.arrayBuffer());
}

const WAYS: Readonly<Record<string, (folder: string) => string>> = {
  "as an absolute path": (folder) => folder,
  "with a slash at its end": (folder) => `${folder}/`,
  "with several slashes": (folder) => `${folder.replaceAll("/", "//")}//`,
  relative: (folder) => relative(process.cwd(), folder),
  "relative, from `./` on": (folder) => `./${relative(process.cwd(), folder)}`,
  "with `.` and `..` in it": (folder) => `${folder}/./sub/..`,
};

describe("a folder that is named", () => {
  for (const [way, write] of Object.entries(WAYS)) {
    test(`${way} is made, and opened again by its absolute path`, async () => {
      const folder = join(root, way);
      {
        await using registry = await open(write(folder));
        await push(registry);
        expect(await pull(registry)).toEqual(CONTENT);
      }
      expect(await readdir(folder)).toContain("registry.db");
      await using again = await open(folder);
      expect(await pull(again)).toEqual(CONTENT);
      for await (const finding of again.check({ deep: true, repair: false })) throw new Error(finding.kind);
    });
  }

  test("through a symbolic link is where the link leads", async () => {
    const folder = join(root, "real");
    await mkdir(folder);
    await symlink("real", join(root, "link"));
    {
      await using registry = await open(`${join(root, "link")}/`);
      await push(registry);
    }
    await using again = await open(folder);
    expect(await pull(again)).toEqual(CONTENT);
  });
});

const NAMES = [
  "with space",
  " at both ends ",
  "ünï/日本",
  "~",
  "100%",
  "what?x=1#y",
  "file:x",
  ":memory:",
  "-dash",
  "a\nb",
];

for (const name of NAMES) {
  test(`a folder may be called ${JSON.stringify(name)}`, async () => {
    await using registry = await open(join(root, "names", name));
    await push(registry);
    expect(await pull(registry)).toEqual(CONTENT);
    expect(await readdir(join(root, "names", name))).toContain("registry.db");
  });
}

const REFUSED: readonly (readonly [what: string, folder: string, message: string])[] = [
  ["a path that begins with ~", "~/stowage", "only a shell replaces"],
  ["an empty path", "", "is empty"],
  ["a path with a NUL character", "a\0b", "NUL"],
  ["a path that is too long for the database", join(root, ...Array<string>(10).fill("d".repeat(60))), "up to 492"],
  ["a path that is too long for the system", join(root, ...Array<string>(100).fill("d".repeat(60))), "up to 492"],
  ["a name that is too long for the file system", join(root, "d".repeat(300)), "longer than the file system allows"],
];

for (const [what, folder, message] of REFUSED) {
  test(`${what} is refused, and nothing is made`, async () => {
    const before = await readdir(root);
    await expect(open(folder)).rejects.toThrow(message);
    expect(await readdir(root)).toEqual(before);
  });
}
