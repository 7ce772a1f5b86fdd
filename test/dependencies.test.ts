/** What this program is made of besides itself: each package is decided on, explained, used and pinned. */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

const ROOT = resolve(import.meta.dir, "..");

/** What users of the library install. A line more here wants a chapter more in docs/dependencies.md. */
const RUNTIME: readonly string[] = [
  "@opentelemetry/api",
  "@opentelemetry/core",
  "@opentelemetry/exporter-trace-otlp-http",
  "@opentelemetry/exporter-trace-otlp-proto",
  "@opentelemetry/resources",
  "@opentelemetry/sdk-trace-base",

  "@aws-sdk/credential-provider-node",
  "@smithy/signature-v4",
  "jose",
  "pg",
  "pino",
  "pino-pretty",
  "prom-client",
  "re2js",
  "sql.js",
  "yaml",
  "zod",
];

interface Manifest {
  readonly scripts: Readonly<Record<string, string>>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
  readonly peerDependencies: Readonly<Record<string, string>>;
  readonly peerDependenciesMeta: Readonly<Record<string, { readonly optional?: boolean }>>;
}

interface LockedPackage {
  readonly version?: string;
  readonly integrity?: string;
  readonly bin?: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

interface Lock {
  readonly packages: Readonly<Record<string, LockedPackage>>;
}

const MANIFEST = JSON.parse(read("package.json")) as Manifest;
const LOCK_TEXT = read("package-lock.json");
const LOCK = JSON.parse(LOCK_TEXT) as Lock;
const DECLARED = [...Object.keys(MANIFEST.dependencies), ...Object.keys(MANIFEST.devDependencies)];

const SHIPPED = packagesImportedBy("src", (path) => !path.endsWith(".test.ts") && !path.includes("/testing/"));
const DEVELOPMENT = ["src", "test", "tools", "bench", "ui"].flatMap((folder) => packagesImportedBy(folder, () => true));

describe("a dependency", () => {
  test("of the program is one that was decided on", () => {
    expect(Object.keys(MANIFEST.dependencies).toSorted()).toEqual(RUNTIME.toSorted());
  });

  test("that is the program's runtime is not installed with the library, and its version is the one that is tested", () => {
    const { bun = "" } = MANIFEST.devDependencies;
    expect(MANIFEST.peerDependencies).toEqual({ bun });
    expect(MANIFEST.peerDependenciesMeta).toEqual({ bun: { optional: true } });
    expect(read("tools/bun")).toContain(`npm install bun@${bun}`);
  });

  test("has a chapter in docs/dependencies.md, and a chapter has a dependency", () => {
    const headings = Array.from(read("docs/dependencies.md").matchAll(/^## (.+)$/gm), ([, heading = ""]) => heading);
    expect(headings.map((heading) => heading.replaceAll("`", "").trim()).toSorted()).toEqual(DECLARED.toSorted());
  });

  test("is declared when src/ imports it: as the program's, not as a tool's", () => {
    const shipped = { ...MANIFEST.dependencies, ...MANIFEST.peerDependencies };
    expect(SHIPPED.filter((name) => !Object.hasOwn(shipped, name))).toEqual([]);
  });

  test("is declared when tests or tools import it", () => {
    // A program that embeds the registry, written by a test, imports the project itself.
    expect(DEVELOPMENT.filter((name) => name !== "stowage" && !DECLARED.includes(name))).toEqual([]);
  });

  for (const name of Object.keys(MANIFEST.dependencies)) {
    test(`of the program is used by it: ${name}`, () => {
      expect(SHIPPED.includes(name) || isProgramInUse(name)).toBeTrue();
    });
  }

  for (const name of Object.keys(MANIFEST.devDependencies)) {
    test(`of its making is used: ${name}`, () => {
      expect(DEVELOPMENT.includes(name) || isProgramInUse(name) || isCompanionInUse(name)).toBeTrue();
    });
  }

  test("is named once, with exactly one version", () => {
    expect(new Set(DECLARED).size).toBe(DECLARED.length);
    for (const version of Object.values({ ...MANIFEST.dependencies, ...MANIFEST.devDependencies })) {
      expect(version).toMatch(/^\d+\.\d+\.\d+$/);
    }
  });
});

describe("the lock file", () => {
  test("is in step with package.json", () => {
    expect(LOCK.packages[""]?.dependencies).toEqual(MANIFEST.dependencies);
    expect(LOCK.packages[""]?.devDependencies).toEqual(MANIFEST.devDependencies);
    for (const [name, version] of Object.entries({ ...MANIFEST.dependencies, ...MANIFEST.devDependencies })) {
      expect(LOCK.packages[`node_modules/${name}`]).toMatchObject({ version });
    }
  });

  test("knows every package by the digest of its content", () => {
    const unknown = Object.entries(LOCK.packages).filter(
      ([path, { integrity }]) => path !== "" && !integrity?.startsWith("sha512-"),
    );
    expect(unknown.map(([path]) => path)).toEqual([]);
  });

  test("names no package registry: each installation has its own", () => {
    expect(LOCK_TEXT).not.toContain('"resolved"');
    // Where a package's authors take money is the one kind of address in it.
    const addresses = JSON.stringify(LOCK, (key, value: unknown) => (key === "funding" ? undefined : value)).match(
      /\w+:\/\/[^"]*/g,
    );
    expect(addresses).toBeNull();
    expect(LOCK_TEXT).not.toMatch(/\bregistry\.\w|npmjs\.|yarnpkg\./i);
  });
});

describe("the settings of package managers", () => {
  for (const file of ["package.json", ".npmrc", ".yarnrc", ".yarnrc.yml", "bunfig.toml", "pnpm-workspace.yaml"]) {
    test(`name no package registry: ${file}`, () => {
      const text = existsSync(join(ROOT, file)) ? read(file) : "";
      expect(text).not.toMatch(/^\s*"?(?:@[\w-]+:)?(?:npm)?registry(?:Server)?"?\s*[=:]/im);
      expect(text).not.toMatch(/_authToken|npmjs|yarnpkg/i);
    });
  }
});

function read(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}

/** Names of packages, each once; what the runtimes bring themselves (`node:`, `bun:`) is none. */
function packagesImportedBy(folder: string, chosen: (path: string) => boolean): readonly string[] {
  const names = [...new Bun.Glob(`${folder}/**/*.{ts,mjs}`).scanSync(ROOT)].filter(chosen).flatMap((path) => {
    const imports = read(path).matchAll(
      /^\s*(?:import|export)\b(?:[^"';]*?\bfrom)?\s*"([^"./][^"]*)"|\bimport\(\s*"([^"./][^"]*)"/gm,
    );
    return Array.from(imports, ([, fixed = "", chosenLate = ""]) => packageOf(fixed + chosenLate));
  });
  return [...new Set(names)].filter((name) => !/^(?:node|bun):/.test(name));
}

/** `zod` for `zod/mini`, `@scope/name` for `@scope/name/part`. */
function packageOf(target: string): string {
  return target.split("/", target.startsWith("@") ? 2 : 1).join("/");
}

/** Whether a script of package.json runs one of the package's programs. */
function isProgramInUse(name: string): boolean {
  const programs = Object.keys(LOCK.packages[`node_modules/${name}`]?.bin ?? {});
  const words = new Set(Object.values(MANIFEST.scripts).flatMap((script) => script.split(/[\s;&|/]+/)));
  return programs.some((program) => words.has(program));
}

/** Whether it is the types of something in use, or what another tool calls by itself. */
function isCompanionInUse(name: string): boolean {
  if (name.startsWith("@types/")) {
    const of = name.slice("@types/".length);
    return (
      DEVELOPMENT.includes(of) || (JSON.parse(read("tsconfig.json")) as TsConfig).compilerOptions.types.includes(of)
    );
  }
  return (
    name === "oxlint-tsgolint" &&
    Object.values(MANIFEST.scripts).some((script) => /\boxlint --type-aware\b/.test(script))
  );
}

interface TsConfig {
  readonly compilerOptions: { readonly types: readonly string[] };
}
