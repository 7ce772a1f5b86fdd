/** Folders that hold what clients leave behind: mounts as well as files. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "./programs.ts";

export interface ScratchFolder extends AsyncDisposable {
  readonly path: string;
}

/** A fresh folder. Disposing it unmounts all that was mounted below it and removes it. */
export async function makeScratchFolder(): Promise<ScratchFolder> {
  // Short, because a socket's path may have 107 characters and daemons put sockets deep below.
  const path = await mkdtemp(join(tmpdir(), "stw-"));
  return {
    path,
    async [Symbol.asyncDispose]() {
      // Engines bind their data folder onto itself and leave that mount, and nothing below a mount may be removed blindly.
      for (const mountPoint of await mountsBelow(path)) await run("umount", ["--lazy", mountPoint]);
      await rm(path, { recursive: true, force: true });
    },
  };
}

/** The deepest come first. */
async function mountsBelow(folder: string): Promise<string[]> {
  const lines = (await readFile("/proc/self/mounts", "utf8")).split("\n");
  const points = lines.map((line) => line.split(" ")[1] ?? "").filter((point) => point.startsWith(`${folder}/`));
  return points.toReversed();
}
