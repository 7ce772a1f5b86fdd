/**
 * Builds the library for runtimes that do not read TypeScript, and the program: `npm run build [-- FOLDER]`.
 *
 * ```
 * dist/
 *   index.js        what `import "stowage"` gives; drivers that are not chosen lie in chunk-*.js and are not loaded
 *   types/*.d.ts    one beside each source file
 *   cjs/index.js    what `require("stowage")` gives, in one file
 *   cjs/types/      the same declarations, for compilers that tell the two kinds of modules apart
 *   program/        what bin/stowage runs
 * ```
 */
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { Glob } from "bun";
import manifest from "../package.json";
import { buildProgram } from "./build-program.ts";
import { currentCommit, definitionsOf } from "./commit.ts";

const ROOT = resolve(import.meta.dir, "..");

/** Makes `outdir` anew; rejects with the compiler's words when something does not compile. */
export async function build(outdir: string): Promise<void> {
  await buildLibrary(outdir);
  await buildProgram(join(outdir, "program"), definitionsOf(currentCommit()));
}

/** The same without the program. */
export async function buildLibrary(outdir: string): Promise<void> {
  await rm(outdir, { recursive: true, force: true });
  const commonJs = join(outdir, "cjs");
  await bundle({ outdir, format: "esm", splitting: true, external: PACKAGES });
  // jose has ES modules alone, which neither an older Node nor a test runner's `require` loads: it goes into the file.
  await bundle({ outdir: commonJs, format: "cjs", external: PACKAGES.filter((name) => name !== "jose") });
  await declareTypes(join(outdir, "types"));
  await cp(join(outdir, "types"), join(commonJs, "types"), { recursive: true });
  await writeFile(join(commonJs, "package.json"), JSON.stringify({ type: "commonjs" }));
}

/** Packages stay imports: npm brings them. */
const PACKAGES: readonly string[] = Object.keys(manifest.dependencies);

interface Bundle {
  readonly outdir: string;
  readonly format: "esm" | "cjs";
  readonly splitting?: boolean;
  readonly external: readonly string[];
}

async function bundle({ external, ...output }: Bundle): Promise<void> {
  await Bun.build({
    ...output,
    entrypoints: [join(ROOT, "src/index.ts")],
    target: "node",
    external: [...external],
    throw: true,
  });
}

async function declareTypes(outdir: string): Promise<void> {
  const scratch = await mkdtemp(join(tmpdir(), "stowage-build-"));
  try {
    const project = join(scratch, "tsconfig.json");
    const options = {
      noEmit: false,
      emitDeclarationOnly: true,
      rootDir: ROOT,
      outDir: join(scratch, "types"),
      typeRoots: [join(ROOT, "node_modules/@types")],
    };
    const files = ["src/index.ts", "src/sql.d.ts"].map((file) => join(ROOT, file));
    await writeFile(
      project,
      JSON.stringify({ extends: join(ROOT, "tsconfig.json"), compilerOptions: options, files, include: [] }),
    );
    const compiler = Bun.spawn([process.execPath, join(ROOT, "node_modules/.bin/tsc"), "--project", project], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "inherit",
    });
    const words = await compiler.stdout.text();
    if ((await compiler.exited) !== 0) throw new Error(`the types cannot be written:\n${words}`);
    await cp(join(scratch, "types/src"), outdir, { recursive: true });
    await renameImports(outdir);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Programs that read the types have no .ts files: `./x.ts` becomes `./x.js`, for which compilers read `./x.d.ts`. */
async function renameImports(folder: string): Promise<void> {
  for await (const name of new Glob("**/*.d.ts").scan(folder)) {
    const path = join(folder, name);
    const text = await readFile(path, "utf8");
    await writeFile(path, text.replaceAll(/((?:from |import\()"\.{1,2}\/[^"]+)\.ts"/g, '$1.js"'));
  }
}

if (import.meta.main) {
  const outdir = resolve(process.argv[2] ?? join(ROOT, "dist"));
  await build(outdir);
  console.log(`built ${outdir}`);
}
