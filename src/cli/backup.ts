/** `stowage backup`: a copy of everything, made while the registry serves. */
import { join } from "node:path";
import { folderPath } from "../lib/folder-path.ts";
import { formatSize } from "../lib/size.ts";
import { silentLogger } from "../observe/logger.ts";
import { refuseBucket } from "./s3-storage.ts";
import { CommandError, failingWith2 } from "./command-error.ts";
import { readCopyCommand } from "./copy-command.ts";
import { UNFINISHED_COPY } from "../metadata/database-file.ts";
import { copyFiles, makeEmptyFolder } from "./copy-registry.ts";
import type { CopyReport } from "./copy-registry.ts";
import { accessByOthers } from "./folder-access.ts";
import { openRegistry } from "./open-registry.ts";
import { print } from "./print.ts";
import { showProgress } from "./progress.ts";
import { recordOperation } from "./record-operation.ts";
import { SETTINGS_HELP } from "./settings-options.ts";

const HELP = `stowage backup FOLDER [options]: copies the registry into a folder; the server may be running

The backup is a snapshot: the database at one moment, and the files it references. On the same file system the files
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
    refuseBucket(settings, "backup");
    const [from, to] = [folderPath(settings.storage.filesystem.rootdirectory), folderPath(folder)];
    const { LiveDatabase } = await import("../metadata/sqlite/snapshot.ts");
    await using database = new LiveDatabase(from); // before the registry, because it is to be disposed of after it
    await using registry = await openRegistry(settings, silentLogger(), { mustExist: true });
    makeEmptyFolder(to, from);
    await using held = await registry.holdUnlinking();
    const progress = showProgress("copied of the database");
    const copying = database.copyTo(join(to, UNFINISHED_COPY), {
      signal: held.lost,
      onStep: (bytes) => progress.update(bytes, undefined, formatSize),
    });
    const copied = copying.then(() => copyFiles(from, to, { copy, held }));
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
