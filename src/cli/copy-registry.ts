/** Copies a registry from one folder into another, and sees that the copy is whole. */
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { createRegistry } from "../create-registry.ts";
import type { Registry } from "../create-registry.ts";
import { formatSize } from "../lib/size.ts";
import type { StorageKey } from "../storage/blob-store.ts";
import { CommandError } from "./command-error.ts";
import { showProgress } from "./progress.ts";

export interface CopyOptions {
  /** Whether bytes are copied where a hard link would do. */
  readonly copy: boolean;
}

/**
 * Copies `registry`, which lies in `from` and may be served meanwhile, into `to`: first the database as of one moment,
 * then the files that it names. Gives a sentence about what was copied; fails when the copy is not whole.
 */
export async function copyRegistry(
  registry: Registry,
  from: string,
  to: string,
  { copy }: CopyOptions,
): Promise<string> {
  const { snapshotDatabase } = await import("../metadata/sqlite/snapshot.ts");
  const { FilesystemBlobStore } = await import("../storage/filesystem/filesystem-blob-store.ts");
  makeEmptyFolder(to);
  await using _held = await registry.holdUnlinking();
  await snapshotDatabase(from, to);
  const [source, target] = [await FilesystemBlobStore.open(from), await FilesystemBlobStore.open(to)];
  await using copied = await createRegistry({ storage: { folder: to, singleProcess: true } });
  const progress = showProgress("copied");
  let [blobs, files, bytes] = [0, 0, 0];
  for await (const blob of copied.allBlobs()) {
    blobs++;
    bytes += blob.size;
    if (blob.at.kind === "inline" || blob.damaged) continue;
    await source.putInto(target, blob.at.storageKey as StorageKey, { copy });
    progress.update(++files);
  }
  progress.end();
  for await (const finding of copied.check({ deep: false, repair: false })) {
    if (finding.kind !== "marked damaged") {
      throw new CommandError(
        `the copy in ${to} is not whole (${finding.kind} ${finding.key ?? ""}): run stowage check`,
      );
    }
  }
  return `${blobs} blobs (${formatSize(bytes)}), ${files} of them files, and the database`;
}

function makeEmptyFolder(folder: string): void {
  if (existsSync(folder) && readdirSync(folder).length > 0) {
    throw new CommandError(
      `${folder} is not empty: name a folder that is, or is not there, such as ${join(folder, "new")}`,
    );
  }
  mkdirSync(folder, { recursive: true, mode: 0o700 });
}
