// Builds the library when npm packs the project, or installs it from a folder or from git. Plain JavaScript for plain
// Node: npm runs it before anything else is there.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

// npm links a folder without installing what the folder needs.
if (!existsSync(`${root}node_modules/.bin/tsc`)) run(process.execPath, ["tools/setup.mjs"]);
run("tools/bun", ["tools/build.ts"]);

function run(command, args) {
  // What npm prints on standard output is read by programs (`npm pack --json`).
  const { status } = spawnSync(command, args, { cwd: root, stdio: ["ignore", 2, 2] });
  if (status !== 0) process.exit(status ?? 1);
}
