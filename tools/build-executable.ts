/**
 * Builds the program with its runtime into one file that needs nothing else:
 * `npm run build:executable -- [TARGET …] [--out FOLDER]`. Without a target it is built for this machine, `all` stands for
 * every target.
 */
import { mkdir, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { provideRuntime } from "./bun-runtime.ts";
import { currentCommit, definitionsOf } from "./commit.ts";
import type { Commit } from "./commit.ts";

const ROOT = resolve(import.meta.dir, "..");

/** The target's name for Bun's compiler, and the npm package with the runtime for it. */
export const TARGETS = {
  "linux-x64": { bun: "bun-linux-x64", runtime: "@oven/bun-linux-x64" },
  "linux-arm64": { bun: "bun-linux-arm64", runtime: "@oven/bun-linux-aarch64" },
  "linux-x64-musl": { bun: "bun-linux-x64-musl", runtime: "@oven/bun-linux-x64-musl" },
  "linux-arm64-musl": { bun: "bun-linux-arm64-musl", runtime: "@oven/bun-linux-aarch64-musl" },
  "macos-x64": { bun: "bun-darwin-x64", runtime: "@oven/bun-darwin-x64" },
  "macos-arm64": { bun: "bun-darwin-arm64", runtime: "@oven/bun-darwin-aarch64" },
} as const;

export type Target = keyof typeof TARGETS;

/** Every target, in the order of the documents. */
export const TARGET_NAMES = Object.keys(TARGETS) as readonly Target[];

/** The target that runs here; throws on a machine for which there is none. */
export function targetHere(): Target {
  const name = `${process.platform === "darwin" ? "macos" : process.platform}-${process.arch}`;
  const target = TARGET_NAMES.find((known) => known === name);
  if (!target) throw new Error(`no executable can be built for this machine (${name}): name a target`);
  return target;
}

/** Writes the executable to `outfile`. The same commit gives the same bytes. Rejects when something does not compile. */
export async function buildExecutable(target: Target, outfile: string, commit: Commit): Promise<void> {
  const { bun, runtime } = TARGETS[target];
  await rm(outfile, { force: true });
  await Bun.build({
    entrypoints: [join(ROOT, "src/main.ts")],
    format: "cjs", // the one form that has bytecode
    bytecode: true,
    define: definitionsOf(commit),
    compile: {
      target: bun,
      executablePath: await provideRuntime(runtime),
      outfile,
      // The folder that it is started in may be another user's: a .env or a bunfig.toml there does not count.
      autoloadDotenv: false,
      autoloadBunfig: false,
      autoloadTsconfig: false,
      autoloadPackageJson: false,
    },
    throw: true,
  });
}

if (import.meta.main) {
  const { values, positionals } = parseArgs({ options: { out: { type: "string" } }, allowPositionals: true });
  const folder = resolve(values.out ?? join(ROOT, "release"));
  const targets = positionals.length === 0 ? [targetHere()] : positionals[0] === "all" ? TARGET_NAMES : positionals;
  await mkdir(folder, { recursive: true });
  const commit = currentCommit();
  for (const name of targets) {
    const target = TARGET_NAMES.find((known) => known === name);
    if (!target) throw new Error(`${name} is no target: name some of ${TARGET_NAMES.join(", ")}, or all`);
    const outfile = join(folder, `stowage-${target}`);
    await buildExecutable(target, outfile, commit);
    console.log(outfile);
  }
}
