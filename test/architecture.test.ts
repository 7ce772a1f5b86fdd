/** Dependency rules: reads every import in src/ and fails on one that points up, sideways, or in a circle. */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, normalize, resolve } from "node:path";

const SRC = resolve(import.meta.dir, "../src");

/**
 * Which modules each module may import; a module is a folder of src/, or a file beside them. One that is not named here may
 * import none and may not be there.
 */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  main: ["cli"],
  cli: [
    "create-registry",
    "open-access",
    "open-drivers",
    "version",
    "config",
    "server",
    "acme",
    "auth",
    "registry",
    "storage",
    "metadata",
    "observe",
    "oci",
    "lib",
  ],
  index: [
    "create-registry",
    "open-access",
    "server",
    "auth",
    "registry",
    "storage",
    "metadata",
    "observe",
    "oci",
    "lib",
  ],
  "create-registry": [
    "open-access",
    "open-drivers",
    "version",
    "server",
    "auth",
    "registry",
    "storage",
    "metadata",
    "observe",
    "oci",
    "lib",
  ],
  "open-access": ["server", "auth", "metadata", "observe", "oci", "lib"],
  "open-drivers": ["storage", "metadata", "observe", "lib"],
  config: ["oci", "lib"],
  server: ["auth", "registry", "observe", "oci", "lib"],
  acme: ["observe", "lib"],
  auth: ["storage", "metadata", "observe", "oci", "lib"],
  registry: ["storage", "metadata", "observe", "oci", "lib"],
  storage: ["observe", "oci", "lib"],
  metadata: ["observe", "oci", "lib"],
  observe: ["oci", "lib"],
  oci: [],
  lib: [],
  version: [],
};

/**
 * The same inside server/, top first: a module is a folder there, or a file beside them. A request goes down through them, and
 * what a module knows of the ones above it comes as an argument.
 */
const SERVER_MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  listen: ["http"],
  pipeline: [
    "v2",
    "api",
    "token",
    "ops",
    "page",
    "context",
    "audit",
    "change-event",
    "pulls",
    "response-cache",
    "cached-response",
    "parsed-request",
    "access",
    "http",
    "routes",
  ],
  v2: ["context", "http", "routes"],
  api: ["api-resources", "audit", "change-event", "context", "access", "http", "routes"],
  token: ["context", "access", "http"],
  ops: ["context", "http"],
  page: ["context", "http"],
  audit: ["change-event", "context", "access", "http", "routes"],
  pulls: ["context", "http", "parsed-request"],
  "parsed-request": ["context", "access", "http", "routes", "api-resources"],
  "response-cache": ["tag-responses", "cached-response", "parsed-request", "http"],
  "tag-responses": ["cached-response", "parsed-request"],
  "cached-response": ["parsed-request", "http"],
  context: ["change-event", "access", "http"],
  "change-event": [],
  access: ["http", "routes", "api-resources"],
  http: [],
  routes: ["api-resources"],
  "api-resources": [],
};

/** Where Bun's own modules and its global may appear: the rest runs on other runtimes too. */
const KNOWS_BUN = /^(?:server\/listen\/(?:listen|page-cache-reader)\.ts$|metadata\/(?:sqlite|postgres)\/|cli\/)/;

/** A driver's folder, such as `storage/filesystem`: what lies below a port and is neither its tests nor its statements. */
const DRIVER = /^(?:storage|metadata)\/(?!testing\/|migrations\/)[^/]+(?=\/)/;

interface Import {
  /** As it is written. */
  readonly target: string;
  readonly kind: "static" | "dynamic";
}

interface SourceFile {
  /** Relative to src/. */
  readonly path: string;
  readonly code: string;
  readonly imports: readonly Import[];
}

const FILES: readonly SourceFile[] = [...new Bun.Glob("**/*.ts").scanSync(SRC)]
  .filter((path) => !path.endsWith(".d.ts"))
  .toSorted()
  .map((path) => {
    const code = withoutComments(readFileSync(join(SRC, path), "utf8"));
    return { path, code, imports: importsIn(code) };
  });

/** What is shipped: neither a test nor a suite of them. */
const SHIPPED = FILES.filter(({ path }) => !isTest(path));

describe("a module of src/", () => {
  test("is one that has its place in the order of modules", () => {
    expect(modulesWithoutPlace(FILES, moduleOf, MAY_IMPORT)).toEqual([]);
    expect(FILES.map(({ path }) => moduleOf(path))).toEqual(
      expect.arrayContaining(["main", "cli", "server", "registry", "storage", "metadata", "oci"]),
    );
  });

  for (const [module, allowed] of Object.entries(MAY_IMPORT)) {
    test(`${module} imports ${allowed.length > 0 ? allowed.join(", ") : "none"}, and no other`, () => {
      // A test of the registry as a whole opens one.
      const found = importsOutOf(module, allowed, moduleOf, FILES).filter(
        ({ from, to }) => !(from.endsWith(".test.ts") && to === "create-registry.ts"),
      );
      expect(found).toEqual([]);
    });
  }

  test("lies below the modules that import it: the order of modules has no circle", () => {
    expect(circlesIn(new Map(Object.entries(MAY_IMPORT)))).toEqual([]);
  });
});

describe("a module of src/server/", () => {
  const files = FILES.filter(({ path }) => moduleOf(path) === "server");

  test("is one that has its place in the order of modules, and all of them are there", () => {
    expect(modulesWithoutPlace(files, serverModuleOf, SERVER_MAY_IMPORT)).toEqual([]);
    const modules = new Set(files.map(({ path }) => serverModuleOf(path)));
    expect(Object.keys(SERVER_MAY_IMPORT).filter((module) => !modules.has(module))).toEqual([]);
  });

  for (const [module, allowed] of Object.entries(SERVER_MAY_IMPORT)) {
    test(`${module} imports ${allowed.length > 0 ? allowed.join(", ") : "none"}, and no other`, () => {
      const shipped = files.filter(({ path }) => !isTest(path));
      expect(importsOutOf(module, allowed, serverModuleOf, shipped)).toEqual([]);
    });
  }

  test("lies below the modules that import it: the order of modules has no circle", () => {
    expect(circlesIn(new Map(Object.entries(SERVER_MAY_IMPORT)))).toEqual([]);
  });

  test("knows no registry when it is listen, http or routes", () => {
    const lowest = files.filter(({ path }) => ["listen", "http", "routes"].includes(serverModuleOf(path) ?? ""));
    const imported = lowest.filter(({ path }) => !isTest(path)).flatMap((file) => importedFiles(file));
    expect(imported.filter((path) => moduleOf(path) === "registry")).toEqual([]);
  });

  test("is the first folder or file below server/", () => {
    const paths = ["server/http/reply.ts", "server/routes.ts", "server/routes.test.ts", "lib/lru.ts"];
    expect(paths.map(serverModuleOf)).toEqual(["http", "routes", "routes", undefined]);
  });
});

describe("a file of src/", () => {
  test("is in no circle of imports", () => {
    expect(circlesIn(new Map(FILES.map((file) => [file.path, importedFiles(file)])))).toEqual([]);
  });

  test("imports files that are there, by their whole names", () => {
    const missing = FILES.flatMap((file) =>
      file.imports
        .filter(({ target }) => target.startsWith(".") && !existsSync(join(SRC, dirname(file.path), target)))
        .map(({ target }) => `${file.path} → ${target}`),
    );
    expect(missing).toEqual([]);
  });

  test("imports nothing outside of src/, but for the version in package.json and the built page", () => {
    const outside = SHIPPED.flatMap((file) =>
      file.imports
        .filter(({ target }) => target.startsWith(".") && join(dirname(file.path), target).startsWith(".."))
        .map(({ target }) => `${file.path} → ${target}`),
    );
    expect(outside.toSorted()).toEqual([
      "server/page/built.ts → ../../../tools/build-page.ts",
      "version.ts → ../package.json",
    ]);
  });

  test("imports no tests, and nothing that only tests need", () => {
    const tests = SHIPPED.flatMap((file) => [
      ...importedFiles(file).filter(isTest),
      ...file.imports.map(({ target }) => target).filter((target) => target === "bun:test" || target === "fast-check"),
    ]);
    expect(tests).toEqual([]);
  });

  test("is chosen by its name: no import is put together while the program runs", () => {
    const computed = FILES.filter(({ code }) => /\bimport\(\s*[^\s"]/.test(code)).map(({ path }) => path);
    expect(computed).toEqual([]);
  });
});

describe("a driver", () => {
  const found = SHIPPED.flatMap((file) =>
    file.imports.flatMap(({ target, kind }) => {
      const path = resolved(file.path, target) ?? "";
      const [driver] = DRIVER.exec(path) ?? [];
      return driver === undefined || file.path.startsWith(`${driver}/`) ? [] : [{ from: file.path, path, kind }];
    }),
  );

  test("is known to open-drivers.ts and to commands alone", () => {
    const others = found.filter(({ from }) => from !== "open-drivers.ts" && !from.startsWith("cli/"));
    expect(others.map(({ from, path }) => `${from} → ${path}`)).toEqual([]);
  });

  test("is loaded when it is chosen, and not before", () => {
    expect(found.filter(({ kind }) => kind === "static").map(({ path }) => path)).toEqual([]);
  });

  for (const driver of ["storage/memory", "storage/filesystem", "storage/s3", "metadata/memory", "metadata/sqlite"]) {
    test(`is ${driver}`, () => {
      expect(found.map(({ path }) => path)).toContainEqual(expect.stringMatching(new RegExp(`^${driver}/`)));
    });
  }
});

describe("Bun", () => {
  test("is known to the edge, to its database and to the command line, and nowhere else", () => {
    const users = SHIPPED.filter(({ imports, code }) => imports.some(({ target }) => isBun(target)) || usesBun(code));
    expect(users.map(({ path }) => path).filter((path) => !KNOWS_BUN.test(path))).toEqual([]);
    expect(users.map(({ path }) => path)).toContain("server/listen/listen.ts");
  });
});

describe("the library's index.ts", () => {
  test("passes names on and does nothing else", () => {
    const { code = "" } = FILES.find(({ path }) => path === "index.ts") ?? {};
    const rest = code.replaceAll(/^export (?:type )?\{[^}]*\} from "\.\/[^"]+";$/gm, "").trim();
    expect(rest).toBe("");
  });

  test("is imported by no module in src/, where names stand where they are made", () => {
    const importers = SHIPPED.filter((file) => importedFiles(file).includes("index.ts"));
    expect(importers.map(({ path }) => path)).toEqual([]);
  });
});

describe("the reader of imports, which all of this depends on,", () => {
  test("finds every kind of import and export, on one line or on many", () => {
    const code = withoutComments(`
      import "./bare.ts";
      import one from "./default.ts";
      import * as two from "./star.ts";
      import type { Three } from "./type.ts";
      import {
        four,
        type Five,
      } from "./lines.ts";
      export { six } from "./export.ts";
      export type { Seven } from "./export-type.ts";
      export * from "./all.ts";
      import data from "./data.json" with { type: "json" };
      const load = async () => [await import("./dynamic.ts"), await import(
        "./dynamic-lines.ts"
      )];
      type Eight = typeof import("./type-of.ts");
    `);
    const names = ["bare", "default", "star", "type", "lines", "export", "export-type", "all"];
    const expected = [...names.map((name) => `./${name}.ts`), "./data.json"];
    expect(
      importsIn(code)
        .filter(({ kind }) => kind === "static")
        .map(({ target }) => target),
    ).toEqual(expected);
    const dynamic = importsIn(code).filter(({ kind }) => kind === "dynamic");
    expect(dynamic.map(({ target }) => target)).toEqual(["./dynamic.ts", "./dynamic-lines.ts", "./type-of.ts"]);
  });

  test("finds none in comments and texts", () => {
    const code = withoutComments(`
      // import "./a.ts";
      /* import "./b.ts"; import("./c.ts") */
      const accept = "*/*"; // export * from "./d.ts"
      const help = 'import "./e.ts"';
      const text = \`
      import "./f.ts";\`;
      const from = "./g.ts";
    `);
    expect(importsIn(code)).toEqual([]);
  });

  test("misses none that Bun's own parser sees", () => {
    const transpiler = new Bun.Transpiler({ loader: "ts" });
    for (const { path, imports } of FILES) {
      const seen = transpiler.scanImports(readFileSync(join(SRC, path), "utf8")).map((each) => each.path);
      expect({ path, imports: imports.map(({ target }) => target) }).toEqual({
        path,
        imports: expect.arrayContaining(seen),
      });
    }
  });

  test("sees Bun's global in code, and not in words", () => {
    for (const code of [
      "Bun.serve({})",
      "typeof Bun.serve",
      "Bun[name]",
      "globalThis.Bun.file(x)",
      'typeof Bun === "x"',
    ]) {
      expect(usesBun(withoutComments(code))).toBeTrue();
    }
    for (const code of ["// Bun.serve", '"runs on Bun. Or not"', "class Bundle {}", "notBun.x"]) {
      expect(usesBun(withoutComments(code))).toBeFalse();
    }
  });

  test("finds a circle, and no circle where there is none", () => {
    const edges = { a: ["b", "c"], b: ["d"], c: ["d"], d: [], e: ["f"], f: ["g"], g: ["e", "d"], h: ["h"] };
    expect(circlesIn(new Map(Object.entries(edges)))).toEqual(["e → f → g → e", "h → h"]);
  });
});

/** `storage` for `storage/memory/x.ts`, `main` for `main.ts`. */
function moduleOf(path: string): string {
  return path.includes("/") ? path.slice(0, path.indexOf("/")) : path.replace(/\.ts$/, "");
}

/** `http` for `server/http/reply.ts`, `routes` for `server/routes.ts`; undefined outside of server/. */
function serverModuleOf(path: string): string | undefined {
  return /^server\/([^/.]+)/.exec(path)?.[1];
}

type ModuleOf = (path: string) => string | undefined;

function modulesWithoutPlace(
  files: readonly SourceFile[],
  module: ModuleOf,
  places: object,
): readonly (string | undefined)[] {
  const modules = new Set(files.map(({ path }) => module(path)));
  return [...modules].filter((each) => each === undefined || !Object.hasOwn(places, each));
}

interface Arrow {
  readonly from: string;
  readonly to: string;
}

/** Imports of the files of a module that lead into a module which is not allowed. */
function importsOutOf(
  module: string,
  allowed: readonly string[],
  moduleIn: ModuleOf,
  files: readonly SourceFile[],
): readonly Arrow[] {
  return files
    .filter(({ path }) => moduleIn(path) === module)
    .flatMap((file) => importedFiles(file).map((to): Arrow => ({ from: file.path, to })))
    .filter(({ to }) => {
      const target = moduleIn(to);
      return target !== undefined && target !== module && !allowed.includes(target);
    });
}

function isTest(path: string): boolean {
  return path.endsWith(".test.ts") || path.includes("/testing/");
}

function isBun(target: string): boolean {
  return target === "bun" || target.startsWith("bun:");
}

function usesBun(code: string): boolean {
  return /(?<![\w$])Bun(?:\.\w|\[)|\btypeof Bun\b/.test(code);
}

/** Where an import leads, relative to src/; undefined for a package, and for what lies outside. */
function resolved(from: string, target: string): string | undefined {
  if (!target.startsWith(".")) return undefined;
  const path = normalize(join(dirname(from), target));
  return path.startsWith("..") ? undefined : path;
}

function importedFiles(file: SourceFile): readonly string[] {
  return file.imports
    .map(({ target }) => resolved(file.path, target))
    .filter((path) => path !== undefined && /(?<!\.d)\.ts$/.test(path)) as string[];
}

/** Texts stay, for imports are told by them; those in back quotes go, for they may hold anything. */
function withoutComments(source: string): string {
  const tokens = /"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`|\/\*[\s\S]*?\*\/|\/\/[^\n]*/g;
  return source.replaceAll(tokens, (token) => (token.startsWith("/") ? " " : token.startsWith("`") ? "``" : token));
}

function importsIn(code: string): readonly Import[] {
  const statics = code.matchAll(/^[^\S\n]*(?:import|export)\b(?:[^"';]*?\bfrom)?\s*"([^"]+)"/gm);
  const dynamics = code.matchAll(/\bimport\(\s*"([^"]+)"/g);
  return [
    ...Array.from(statics, ([, target = ""]): Import => ({ target, kind: "static" })),
    ...Array.from(dynamics, ([, target = ""]): Import => ({ target, kind: "dynamic" })),
  ];
}

/** One line for each circle that a walk along the edges runs into. */
function circlesIn(edges: ReadonlyMap<string, readonly string[]>): readonly string[] {
  const circles: string[] = [];
  const done = new Set<string>();
  const walk = (at: string, way: readonly string[]): void => {
    if (way.includes(at)) {
      circles.push([...way.slice(way.indexOf(at)), at].join(" → "));
      return;
    }
    if (done.has(at)) return;
    for (const next of edges.get(at) ?? []) walk(next, [...way, at]);
    done.add(at);
  };
  for (const start of edges.keys()) walk(start, []);
  return circles;
}
