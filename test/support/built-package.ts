/** The library as npm would install it: built, and beside the packages that it needs. */
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import manifest from "../../package.json";
import { buildLibrary } from "../../tools/build.ts";
import { ROOT } from "./registry.ts";

/** Builds the library and installs it in `folder`: programs that lie there can import `stowage`. */
export async function installBuilt(folder: string): Promise<void> {
  const modules = join(folder, "node_modules");
  await buildLibrary(join(modules, "stowage/dist"));
  await writeFile(join(modules, "stowage/package.json"), JSON.stringify(manifest));
  for (const name of [...Object.keys(manifest.dependencies), "@types"]) {
    await mkdir(dirname(join(modules, name)), { recursive: true });
    await symlink(join(ROOT, "node_modules", name), join(modules, name));
  }
}
