// Installs the project's packages when they are missing or older than the lock file, and builds the program when a source
// is newer. Plain JavaScript for plain Node: it runs before anything else is there. No package needs its install script,
// and the project's own builds the library.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const stamp = `${root}node_modules/.installed`;
const wanted = createHash("sha256")
  .update(readFileSync(`${root}package-lock.json`))
  .digest("hex");

if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== wanted) {
  console.log("Installing the packages that Stowage needs (once) …");
  const { status } = spawnSync("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], {
    cwd: root,
    stdio: "inherit",
  });
  if (status !== 0) {
    console.error("npm ci failed. Stowage needs npm's registry once, to install; see the lines above.");
    process.exit(1);
  }
  writeFileSync(stamp, wanted);
}

// bin/stowage asks the same question. Where nothing can be written, it runs the sources.
const { stdout: newer } = spawnSync("tools/newer-source", { cwd: root, encoding: "utf8" });
if (newer !== "") spawnSync("tools/bun", ["tools/build-program.ts"], { cwd: root, stdio: "ignore" });
