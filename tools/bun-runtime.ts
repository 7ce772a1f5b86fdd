/** The runtime for each platform, as npm has it: other platforms' are not installed with the project. */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, readdir, rename, rm } from "node:fs/promises";
import { createHash } from "node:crypto";
import { join, resolve } from "node:path";
import lock from "../package-lock.json";

const ROOT = resolve(import.meta.dir, "..");
const CACHE = join(ROOT, "node_modules/.cache/bun-runtimes");

interface Locked {
  readonly version: string;
  readonly integrity: string;
}

/**
 * Returns the path of the runtime in the npm package `name`, such as `@oven/bun-linux-aarch64`: the installed one, or one that
 * npm downloads into `node_modules/.cache`. Rejects when its archive is not the one in package-lock.json.
 */
export async function provideRuntime(name: string): Promise<string> {
  const installed = join(ROOT, "node_modules", name, "bin/bun");
  if (existsSync(installed)) return installed;
  const { version, integrity } = lockedPackage(name);
  const cached = join(CACHE, `${name.replaceAll("/", "+")}-${version}`);
  if (!existsSync(cached)) await download(`${name}@${version}`, integrity, cached);
  return join(cached, "package/bin/bun");
}

function lockedPackage(name: string): Locked {
  const packages: Readonly<Record<string, Partial<Locked>>> = lock.packages;
  const { version, integrity } = packages[`node_modules/${name}`] ?? {};
  if (version === undefined || integrity === undefined) throw new Error(`package-lock.json has no ${name}`);
  return { version, integrity };
}

async function download(specifier: string, integrity: string, target: string): Promise<void> {
  await mkdir(CACHE, { recursive: true });
  const scratch = await mkdtemp(`${target}-`);
  try {
    await run(["npm", "pack", "--silent", "--pack-destination", scratch, specifier]);
    const [file = ""] = await readdir(scratch);
    const archive = join(scratch, file);
    const [algorithm = ""] = integrity.split("-");
    const found = createHash(algorithm)
      .update(await readFile(archive))
      .digest("base64");
    if (integrity !== `${algorithm}-${found}`) throw new Error(`${specifier} is not what package-lock.json says it is`);
    await run(["tar", "-xzf", archive, "-C", scratch]);
    await rm(archive);
    await rename(scratch, target);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function run(words: string[]): Promise<void> {
  const child = Bun.spawn(words, { cwd: ROOT, stdin: "ignore", stdout: "ignore", stderr: "inherit" });
  if ((await child.exited) !== 0) throw new Error(`${words.join(" ")} failed`);
}
