/** A folder for the tests of a file. */
import { afterAll } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A folder that is removed after the last test of the file. */
export async function scratchFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "stowage-scratch-"));
  afterAll(async () => {
    await rm(folder, { recursive: true, force: true });
  });
  return folder;
}
