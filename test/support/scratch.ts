/** A folder for the tests of a file. */
import { afterAll } from "bun:test";
import { chmod, mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

/** A folder that is removed after the last test of the file. */
export function scratchFolder(): Promise<string> {
  return folderIn(tmpdir());
}

/** The same, which every user may enter: not in a temporary folder that is its owner's alone. */
export async function sharedScratchFolder(): Promise<string> {
  const folder = await folderIn((await isOpenToAll(tmpdir())) ? tmpdir() : "/tmp");
  await chmod(folder, 0o755);
  return folder;
}

async function folderIn(place: string): Promise<string> {
  const folder = await mkdtemp(join(place, "stowage-scratch-"));
  afterAll(async () => {
    await rm(folder, { recursive: true, force: true });
  });
  return folder;
}

async function isOpenToAll(folder: string): Promise<boolean> {
  const isOpen = ((await stat(folder)).mode & 0o001) !== 0;
  return isOpen && (dirname(folder) === folder || (await isOpenToAll(dirname(folder))));
}
