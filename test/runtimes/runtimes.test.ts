/** The package as users install it, on each release of Node that it supports, under test runners, and on Bun. */
import { beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import manifest from "../../package.json";
import { FOLDER, LISTEN, PUSH_AND_PULL, asCommonJs } from "../library/programs.ts";
import { examplesOf } from "../support/examples.ts";
import { ROOT } from "../support/registry.ts";
import { scratchFolder } from "../support/scratch.ts";

/** The first release of each line with what the documents promise, or the newest that was tried. */
const NODES: Readonly<Record<string, string>> = { "20": "20.12.2", "22": "22.13.1", "24": "24.11.1" };
const RUNNERS: Readonly<Record<string, string>> = { vitest: "3.2.4", jest: "30.2.0" };

const folder = await scratchFolder();
const modules = join(folder, "node_modules");

beforeAll(async () => {
  // From a clone: what lies in the checkout and is not in git would not be in the package.
  await succeed(["git", "clone", "--quiet", ROOT, "checkout"]);
  await succeed(["npm", "pack", "--pack-destination", folder], { in: join(folder, "checkout") });
  const nodes = Object.entries(NODES).map(
    ([line, version]) => `node${line}@npm:node-${process.platform}-${process.arch}@${version}`,
  );
  const runners = Object.entries(RUNNERS).map(([name, version]) => `${name}@${version}`);
  await writeFile(join(folder, "package.json"), JSON.stringify({ private: true }));
  await succeed(["npm", "install", "--no-audit", "--no-fund", tarball(), ...nodes, ...runners]);
}, 600_000);

function tarball(): string {
  return join(folder, `stowage-${manifest.version}.tgz`);
}

function nodeOf(line: string): string {
  return join(modules, `node${line}/bin/node`);
}

describe("the package", () => {
  test("installs neither Bun nor a package that only development needs", async () => {
    expect([existsSync(join(modules, "bun")), existsSync(join(modules, "@oven"))]).toEqual([false, false]);
    expect(existsSync(join(modules, "fast-check"))).toBe(false);
  });

  test("holds the program, the library and its types, and no tests", async () => {
    const files = await readdir(join(modules, "stowage"), { recursive: true });
    expect(files).toEqual(
      expect.arrayContaining([
        "bin/stowage",
        "dist/index.js",
        "dist/cjs/index.js",
        "dist/types/index.d.ts",
        "dist/program/stowage.js",
        "LICENSE",
      ]),
    );
    expect(files.filter((file) => /\.test\.|(?:^|\/)(?:test|testing|bench)(?:\/|$)/.test(file))).toEqual([]);
  });

  test("is built when it is installed from a folder", async () => {
    const checkout = join(folder, "checkout");
    await succeed(["rm", "-rf", join(checkout, "dist"), join(checkout, "node_modules")]);
    await succeed(["mkdir", "user"]);
    await writeFile(join(folder, "user/package.json"), JSON.stringify({ private: true }));
    await succeed(["npm", "install", "--no-audit", "--no-fund", checkout], { in: join(folder, "user") });
    await writeFile(join(folder, "user/program.mjs"), LISTEN);
    await succeed([nodeOf("20"), "program.mjs"], { in: join(folder, "user") });
  });
});

for (const line of Object.keys(NODES)) {
  describe(`Node ${line}`, () => {
    test("is the release that is meant", async () => {
      expect(await succeed([nodeOf(line), "--version"])).toBe(`v${NODES[line]}\n`);
    });

    test("runs programs of ES modules and of CommonJS", async () => {
      for (const [name, program] of Object.entries({ "push-and-pull": PUSH_AND_PULL, listen: LISTEN })) {
        await writeFile(join(folder, `${name}.mjs`), program);
        await succeed([nodeOf(line), `${name}.mjs`]);
        await writeFile(join(folder, `${name}.cjs`), asCommonJs(program));
        await succeed([nodeOf(line), `${name}.cjs`]);
      }
    });

    test(line === "20" ? "says what a folder needs" : "keeps a registry in a folder", async () => {
      await writeFile(join(folder, "folder.mjs"), FOLDER);
      const data = join(folder, `data-${line}`);
      const { exitCode, stderr } = await outcomeOf([nodeOf(line), "folder.mjs", data], folder);
      if (line !== "20") expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
      else
        expect([exitCode, existsSync(data), /MissingSqliteError.*Node 22\.13/.test(stderr)]).toEqual([1, false, true]);
    });

    test("runs every example of the documents", async () => {
      for (const { page, code } of await examplesOf("README.md", "docs/library.md")) {
        await writeFile(join(folder, "example.mjs"), new Bun.Transpiler({ loader: "ts" }).transformSync(code));
        expect({ page, ...(await outcomeOf([nodeOf(line), "example.mjs"], folder)) }).toMatchObject({ exitCode: 0 });
      }
    });

    test("runs tests under Vitest", async () => {
      await writeFile(join(folder, "vitest.test.mjs"), `import { expect, test } from "vitest";\n${TEST("import")}`);
      await succeed([nodeOf(line), join(modules, "vitest/vitest.mjs"), "run", "vitest.test.mjs"]);
    });

    test("runs tests under Jest", async () => {
      await writeFile(join(folder, "jest.test.cjs"), TEST("require"));
      await succeed([nodeOf(line), join(modules, "jest/bin/jest.js"), "--testMatch", "**/jest.test.cjs"]);
    });
  });
}

describe("the program", () => {
  test("asks for its runtime when npm did not bring it, and runs once Bun is installed beside it", async () => {
    const without = await outcomeOf([join(modules, ".bin/stowage"), "--version"], folder);
    const { bun } = manifest.devDependencies;
    expect(without).toMatchObject({ exitCode: 1, stdout: "" });
    expect(without.stderr).toContain(`npm install bun@${bun}`);
    await succeed(["npm", "install", "--no-audit", "--no-fund", `bun@${bun}`]);
    expect(await succeed([join(modules, ".bin/stowage"), "--version"])).toContain(manifest.version);
  });

  test("and the library run on that Bun", async () => {
    await writeFile(join(folder, "push-and-pull.mjs"), PUSH_AND_PULL);
    await succeed([process.execPath, "push-and-pull.mjs"]);
  });
});

/** A test as users write it: of a program that pulls from a registry on a port. */
function TEST(kind: "import" | "require"): string {
  return `
${kind === "import" ? 'import { createRegistry, pushImage } from "stowage";' : 'const { createRegistry, pushImage } = require("stowage");'}
test("an image is pulled", async () => {
  const registry = await createRegistry({ storage: "memory" });
  const { url } = await registry.listen();
  await pushImage(registry.namespace, "team/app:1.0");
  expect((await fetch(url + "/v2/team/app/manifests/1.0")).status).toBe(200);
  await registry.close();
});
`;
}

/** Runs a command, which must end well, and returns what it printed. */
async function succeed(
  command: readonly string[],
  { in: cwd = folder }: { readonly in?: string } = {},
): Promise<string> {
  const { exitCode, stdout, stderr } = await outcomeOf(command, cwd);
  if (exitCode !== 0) throw new Error(`${command.join(" ")} ended with ${exitCode}:\n${stdout}\n${stderr}`);
  return stdout;
}

async function outcomeOf(command: readonly string[], cwd: string) {
  const { PATH = "", HOME = "", TMPDIR } = process.env;
  const env = { PATH, HOME, ...(TMPDIR !== undefined && { TMPDIR }) };
  const child = Bun.spawn([...command], { cwd, env, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return { exitCode: await child.exited, stdout, stderr };
}
