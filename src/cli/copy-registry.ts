/** What `backup` and `restore` share: the files of a registry, copied as the copy of its database names them. */
import { accessSync, constants, existsSync, mkdirSync, readdirSync, realpathSync, statSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileErrorReason } from "../lib/file-error.ts";
import { formatSize } from "../lib/size.ts";
import { systemClock } from "../lib/clock.ts";
import { DATABASE, UNFINISHED_COPY } from "../metadata/database-file.ts";
import { Metadata } from "../metadata/metadata.ts";
import type { HeldLease } from "../registry/gc/lease.ts";
import { paged } from "../registry/pages.ts";
import type { StorageKey } from "../storage/blob-store.ts";
import { CommandError } from "./command-error.ts";
import { findingText } from "./finding-text.ts";
import { print } from "./print.ts";
import { showProgress } from "./progress.ts";

export interface CopyOptions {
  /** Whether bytes are copied where a hard link would do. */
  readonly copy: boolean;
  /** What keeps the files of the source in their place; the copying fails when it is lost. */
  readonly held?: HeldLease;
}

export interface CopyReport {
  /** What was copied, for a person. */
  readonly what: string;
  /** Blobs whose bytes are not there, or cannot be read; each was printed. */
  readonly missing: number;
}

/** Images that are named for each blob that is missing. */
const MAX_IMAGES = 100;

/**
 * Copies the files of `from` into `to`, in which a copy of the database lies unfinished, and then finishes that. A file that
 * is not there, or cannot be read, is printed with the images that need it, and the others are copied.
 */
export async function copyFiles(from: string, to: string, { copy, held }: CopyOptions): Promise<CopyReport> {
  const { finishCopy, openCopy } = await import("../metadata/sqlite/snapshot.ts");
  const { FilesystemBlobStore } = await import("../storage/filesystem/filesystem-blob-store.ts");
  const [source, target] = [FilesystemBlobStore.reading(from), await FilesystemBlobStore.open(to)];
  const progress = showProgress("copied");
  let [blobs, files, bytes, missing] = [0, 0, 0, 0];
  const metadata = new Metadata(await openCopy(join(to, UNFINISHED_COPY)), systemClock);
  try {
    const recorded = paged(
      {},
      (page) => metadata.blobs.list(page),
      (blob) => blob.digest,
    );
    for await (const blob of recorded) {
      held?.lost.throwIfAborted();
      blobs++;
      bytes += blob.size;
      const { size, location } = blob;
      if (location.kind === "inline") continue;
      const kind = blob.corrupt
        ? "marked damaged"
        : await source.putInto(target, location.storageKey as StorageKey, { size, copy });
      if (kind === undefined) {
        progress.update(++files);
        continue;
      }
      missing++;
      progress.end();
      const images = await metadata.manifests.needing(blob.digest, MAX_IMAGES);
      print(findingText({ kind, digest: blob.digest, key: location.storageKey, images }));
    }
  } finally {
    await metadata.close();
  }
  progress.end();
  if (held && !(await held.confirm())) throw new Error("the files were not held to the end");
  await finishCopy(join(to, UNFINISHED_COPY), join(to, DATABASE));
  return { what: `${blobs} blobs (${formatSize(bytes)}), ${files} of them files, and the database`, missing };
}

/** Sees that `to` is an empty folder outside of `from`, and makes it when it is not there. */
export function makeEmptyFolder(to: string, from: string): void {
  if (existsSync(to) && !statSync(to).isDirectory()) throw new CommandError(`${to} is a file: name a folder`);
  if (existsSync(to) && readdirSync(to).length > 0) {
    throw new CommandError(`${to} is not empty: give an empty or new folder, such as ${join(to, "new")}`);
  }
  const [source, target] = [realPathOf(from), realPathOf(to)];
  const path = relative(source, target);
  if (path !== ".." && !path.startsWith("../")) {
    throw new CommandError(`${to} is inside the data folder ${from}: give a folder outside of it`);
  }
  try {
    mkdirSync(to, { recursive: true, mode: 0o700 });
    accessSync(to, constants.W_OK | constants.X_OK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const reason = code === "ENOENT" ? "the folder cannot be created" : fileErrorReason(error);
    throw new CommandError(`${to} cannot be written: ${reason}`, { cause: error });
  }
}

/** Of a folder that need not be there. */
function realPathOf(folder: string): string {
  if (existsSync(folder)) return realpathSync(folder);
  return join(realPathOf(dirname(folder)), relative(dirname(folder), folder));
}
