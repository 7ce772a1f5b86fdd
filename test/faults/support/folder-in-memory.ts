/** Data folders for tests to which syncs of the disk mean nothing but time. */
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const PLACE = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();

export interface FolderInMemory extends AsyncDisposable {
  readonly path: string;
}

/** A fresh folder, in memory where the system has a place for that. Disposing it removes it. */
export async function folderInMemory(): Promise<FolderInMemory> {
  const path = await mkdtemp(join(PLACE, "stowage-faults-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}
