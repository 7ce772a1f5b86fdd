/** `stowage restore`: a data folder out of a backup, which is only read. */
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Settings } from "../config/schema.ts";
import { loadSettings } from "../config/sources.ts";
import { folderPath } from "../lib/folder-path.ts";
import { CommandError, failingWith2 } from "./command-error.ts";
import { readCopyCommand } from "./copy-command.ts";
import { DATABASE, UNFINISHED_COPY } from "../metadata/database-file.ts";
import { copyFiles, makeEmptyFolder } from "./copy-registry.ts";
import { print } from "./print.ts";
import { openBackup } from "./registry-source.ts";
import { SETTINGS_HELP } from "./settings-options.ts";

const HELP = `stowage restore FOLDER [options]: creates a registry from a backup; its data folder, database and bucket must be empty

A backup is restored to wherever the settings say, whatever it was made of: files or S3, SQLite or PostgreSQL. The backup is only
read, so it may be on a read-only medium. Into S3 or PostgreSQL, blobs are verified and rows compared, and the command goes on
when it is run again after an interruption.

  --copy                copy the files instead of hard-linking them
${SETTINGS_HELP}

Exit code: 0 complete, 1 complete except for blobs that are missing in the backup, 2 failed.
`;

export function restore(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  return failingWith2(async () => {
    const command = readCopyCommand(args, HELP, environment);
    if (!command) return 0;
    const { folder, copy, settings } = command;
    if (folder === undefined) {
      throw new CommandError("restore takes the folder of a backup: stowage restore /var/backups/stowage-1");
    }
    const [from, to] = [folderPath(folder), folderPath(settings.storage.filesystem.rootdirectory)];
    requireBackup(from);
    if (settings.database.url !== undefined || settings.storage.s3) return await restoreElsewhere(from, settings, copy);
    makeEmptyFolder(to, from);
    const { copyDatabase } = await import("../metadata/sqlite/snapshot.ts");
    await copyDatabase(join(from, DATABASE), join(to, UNFINISHED_COPY));
    const { what, missing } = await copyFiles(from, to, { copy });
    print(`${to} holds ${what}. Start the server on it: stowage serve --data ${to}\n`);
    if (missing === 0) return 0;
    const blobs = missing === 1 ? "1 blob is" : `${missing} blobs are`;
    print(`${blobs} missing, as in the backup: a push of the images that need them puts that right.\n`);
    return 1;
  });
}

/** Restores into a database on a server, or a bucket: as a migration, which goes on when it was interrupted. */
async function restoreElsewhere(folder: string, to: Settings, copies: boolean): Promise<number> {
  const { MigrationRun, openTarget } = await import("./migration-run.ts");
  const from = loadSettings({ environment: {}, flags: { "storage.filesystem.rootdirectory": folder } }).settings;
  await using source = await openBackup(folder);
  await using target = await openTarget(to);
  return await new MigrationRun({ from, to }, source, target, { copies }).run();
}

function requireBackup(folder: string): void {
  if (existsSync(join(folder, UNFINISHED_COPY))) {
    throw new CommandError(`${folder} holds an incomplete backup: delete it and make another one`);
  }
  if (!existsSync(join(folder, DATABASE))) {
    throw new CommandError(`${folder} holds no backup: give the folder of a backup, such as /var/backups/stowage-1`);
  }
  const log = statSync(join(folder, `${DATABASE}-wal`), { throwIfNoEntry: false });
  if (log && log.size > 0) {
    throw new CommandError(
      `${folder} is a data folder in use, or its server did not stop cleanly: stop its server, or copy it with stowage backup`,
    );
  }
}
