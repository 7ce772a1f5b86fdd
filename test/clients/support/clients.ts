/** Every client that these tests bring themselves, in whatever language, and how one of its commands begins. */
import { copyFile, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { cached, make } from "./cache.ts";
import { goClient } from "./go-clients.ts";
import type { GoClient } from "./go-clients.ts";
import type { Runnable } from "./programs.ts";

export type ClientName = GoClient | "oras-py" | "sigstore-oci" | "wkg";

/** The version that cargo builds. */
export const WKG_VERSION = "0.16.1";

export interface Command {
  readonly program: Runnable;
  /** What stands before the words of a user. */
  readonly words: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** Builds or installs the client when it is not there yet. */
export async function commandOf(name: ClientName): Promise<Command> {
  switch (name) {
    case "oras-py":
      return await orasPy();
    case "sigstore-oci":
      return await sigstoreOci();
    case "wkg":
      return await wkg();
    default:
      return { program: await goClient(name), words: [], env: {} };
  }
}

async function orasPy(): Promise<Command> {
  const source = join(import.meta.dir, "../oras-py");
  const pins = await readFile(join(source, "requirements.txt"), "utf8");
  const folder = await cached(`oras-py-${/^oras==(.*)$/m.exec(pins)?.[1]}`, async (target) => {
    await make("python3", ["-m", "venv", target], source);
    await make(join(target, "bin/pip"), ["install", "--no-deps", "--requirement", "requirements.txt"], source);
  });
  return { program: join(folder, "bin/python") as Runnable, words: [join(source, "client.py")], env: {} };
}

async function sigstoreOci(): Promise<Command> {
  const source = join(import.meta.dir, "../sigstore-oci");
  const { dependencies } = JSON.parse(await readFile(join(source, "package.json"), "utf8")) as Manifest;
  const folder = await cached(`sigstore-oci-${dependencies["@sigstore/oci"]}`, async (target) => {
    for (const file of ["package.json", "package-lock.json"]) await copyFile(join(source, file), join(target, file));
    await make("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], target);
  });
  const node = Bun.which("node");
  if (node === null) throw new Error("The program node is missing: install Node 20 or newer");
  const env = { SIGSTORE_OCI: join(folder, "node_modules/@sigstore/oci/dist/index.js") };
  return { program: node as Runnable, words: [join(source, "client.mjs")], env };
}

/** Without optimisation, which takes cargo a third of the time. */
async function wkg(): Promise<Command> {
  const folder = await cached(`wkg-${WKG_VERSION}`, async (target) => {
    const words = ["install", "wkg", "--version", WKG_VERSION, "--locked", "--debug", "--root", target];
    const build = join(target, "build");
    await make("cargo", [...words, "--target-dir", build], target, { CARGO_PROFILE_DEV_DEBUG: "0" });
    await rm(build, { recursive: true });
  });
  return { program: join(folder, "bin/wkg") as Runnable, words: [], env: {} };
}

interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>;
}
