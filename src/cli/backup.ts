/** `stowage backup`: a copy of everything, made while the registry serves. */
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { folderPath } from "../lib/folder-path.ts";
import { formatSize } from "../lib/size.ts";
import { CommandError, failingWith2 } from "./command-error.ts";
import { readCopyCommand } from "./copy-command.ts";
import { DATABASE, UNFINISHED_COPY } from "../metadata/database-file.ts";
import { copyFiles, makeEmptyFolder } from "./copy-registry.ts";
import type { CopyReport } from "./copy-registry.ts";
import { copyBlobsOf } from "./copied-blobs.ts";
import { showCopyProgress } from "./copy-progress.ts";
import type { CopyProgress } from "./copy-progress.ts";
import type { HeldLease } from "../registry/gc/lease.ts";
import { accessByOthers } from "./folder-access.ts";
import { print } from "./print.ts";
import { openSource } from "./registry-source.ts";
import type { LiveSource } from "./registry-source.ts";
import { recordOperation } from "./record-operation.ts";
import { SETTINGS_HELP } from "./settings-options.ts";

const HELP = `stowage backup FOLDER [options]: copies the registry into a folder; the server may be running

The backup is a snapshot: the database at one moment, as SQLite, and the blobs it references, as files, wherever the registry has
both: restore takes it to any database and store. Blobs out of a bucket are verified by their digests. On the same file system the files
are hard links, which take no time and no space. Because hard links share their bytes, use --copy or another disk to
be safe from a broken disk.

  --copy                copy the files instead of hard-linking them
${SETTINGS_HELP}

Exit code: 0 complete, 1 complete except for blobs that are missing or corrupt in the registry, 2 failed: no backup.
`;

export function backup(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  return failingWith2(async () => {
    const command = readCopyCommand(args, HELP, environment);
    if (!command) return 0;
    const { folder, copy, settings } = command;
    if (folder === undefined) {
      throw new CommandError("backup takes one folder: stowage backup /var/backups/stowage-1");
    }
    const [from, to] = [folderPath(settings.storage.filesystem.rootdirectory), folderPath(folder)];
    await using source = await openSource(settings);
    const { registry } = source;
    makeEmptyFolder(to, from);
    await using held = await registry.holdUnlinking();
    const progress = showCopyProgress({ json: false });
    const database = join(to, UNFINISHED_COPY);
    const copying = source.takeSnapshot(database, {
      signal: held.lost,
      onStep: (done) => progress.step("database", done),
    });
    const copied = copying.then(() => {
      progress.end();
      return settings.storage.s3 ? copyObjects(to, { source, held, progress }) : copyFiles(from, to, { copy, held });
    });
    const report = await copied.catch((error: unknown) => {
      if (!held.lost.aborted) throw error;
      throw new CommandError(
        "the server did not wait for this backup, because it gave no sign of life for too long: files may have been " +
          `removed before they were copied. Make another backup, and remove ${to}`,
        { cause: error },
      );
    });
    print(`${to} holds ${report.what}.\n${accessTo(to)}\n`);
    if (report.missing === 0) {
      await registry.recordRun("backup");
      await recordOperation(registry, "backup", to);
      return 0;
    }
    print(missingText(report));
    return 1;
  });
}

/** Copies the blobs of a bucket into files of the backup, verifies them, and finishes the backup. */
async function copyObjects(
  to: string,
  {
    source,
    held,
    progress,
  }: { readonly source: LiveSource; readonly held: HeldLease; readonly progress: CopyProgress },
): Promise<CopyReport> {
  const { finishCopy } = await import("../metadata/sqlite/snapshot.ts");
  const { FilesystemBlobStore } = await import("../storage/filesystem/filesystem-blob-store.ts");
  const database = join(to, UNFINISHED_COPY);
  const { blobs, bytes, stored, problems } = await copyBlobsOf({
    database,
    source: source.blobs,
    target: await FilesystemBlobStore.open(to),
    copy: randomUUID(),
    signal: held.lost,
    progress,
    report: print,
  });
  if (!(await held.confirm())) throw new Error("the objects were not held to the end");
  await finishCopy(database, join(to, DATABASE));
  const what = `${blobs} blobs (${formatSize(bytes)}), ${stored - problems} of them files, and the database`;
  return { what, missing: problems };
}

function accessTo(folder: string): string {
  const secrets = "Everyone who can read this folder can read every image: ";
  return secrets + (accessByOthers(folder)?.message ?? "only this user can read it.");
}

function missingText({ missing }: CopyReport): string {
  const blobs = missing === 1 ? "1 blob is" : `${missing} blobs are`;
  return (
    `${blobs} missing in it, as in the registry: stowage check --repair, and a push of the images that need them, puts ` +
    "the registry right. Then make another backup.\n"
  );
}
