/** Clients that are built or installed for these tests, and kept between runs. */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";

/** A folder below the cache's, such as `crane-v0.21.9`. `fill` fills it when it is not there yet. */
export async function cached(name: string, fill: (folder: string) => Promise<void>): Promise<string> {
  const target = join(cacheFolder(), name);
  if (existsSync(target)) return target;
  await mkdir(cacheFolder(), { recursive: true });
  const folder = await mkdtemp(`${target}.`);
  const started = performance.now();
  console.log(`Making ${name}, once`);
  try {
    await fill(folder);
    // Only what is complete gets the name.
    await rename(folder, target);
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    if (!existsSync(target)) throw error;
  }
  console.log(`Made ${name} in ${Math.round((performance.now() - started) / 1000)} s`);
  return target;
}

/** Runs a tool that builds or installs, with the developer's settings; rejects with all that it printed. */
export async function make(tool: string, words: readonly string[], cwd: string, env: Environment = {}): Promise<void> {
  const path = Bun.which(tool); // which a path is, too
  if (path === null) throw new Error(`The program ${tool} is missing: ${SOURCES[tool] ?? "install it"}`);
  const child = Bun.spawn([path, ...words], {
    cwd,
    env: { ...process.env, ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (code !== 0) throw new Error(`${tool} ${words.join(" ")}: ended with ${code}\n${stdout}${stderr}`);
}

type Environment = Readonly<Record<string, string>>;

const SOURCES: Readonly<Record<string, string>> = {
  cargo: "install Rust 1.85 or newer",
  go: "install Go 1.26.3 or newer",
  npm: "install Node 20 or newer",
  python3: "install Python 3.9 or newer, with venv",
};

function cacheFolder(): string {
  const { STOWAGE_CLIENT_CACHE, XDG_CACHE_HOME } = process.env;
  return STOWAGE_CLIENT_CACHE ?? join(XDG_CACHE_HOME ?? join(homedir(), ".cache"), "stowage-test-clients");
}
