/** `stowage migrate`: copies a whole registry to another database, to another store, or both. */
import { existsSync, statSync } from "node:fs";
import type { Settings } from "../config/schema.ts";
import { SettingsError, loadSettings } from "../config/sources.ts";
import { CommandError, failingWith2 } from "./command-error.ts";
import { readCommandLine } from "./command-line.ts";
import { MigrationRun, databaseName, openTarget, storeName } from "./migration-run.ts";
import { openSource } from "./registry-source.ts";
import { readSettings } from "./settings-options.ts";

const HELP = `stowage migrate --from CONFIG.yml|FOLDER --to CONFIG.yml|FOLDER [options]: copies a registry to another database or store

  stowage migrate --from old.yml --to new.yml                   as the settings files say: files or S3, SQLite or PostgreSQL
  stowage migrate --from /var/lib/registry --to new.yml         a folder stands for files and SQLite in it

1. Run it while the source serves, pulls and pushes: it copies all blobs, and verifies each by its digest.
2. Set storage.maintenance.readonly.enabled: true in the settings of the source and reload its servers (SIGHUP).
3. Run the command again: it copies what was pushed meanwhile, and then the database, compares every row, and finishes. When the
   source has changed all the same, it says so and does not finish.
4. Start the servers with the settings of the target, and end those of the source.

The source is only read. The target must be empty, and no server may run on it. An interrupted migration goes on when the
command is run again; until it is done, its state lies in the folder storage.filesystem.rootdirectory of the target.
Everything is copied but unfinished uploads, which clients begin again. Variables such as REGISTRY_HTTP_ADDR are not read,
because they would mean both registries.

  --from CONFIG.yml|FOLDER  the registry that is copied
  --to CONFIG.yml|FOLDER    the registry that it becomes
  --json                    print progress and result as JSON, one object in a line

Exit code: 0 complete, 1 complete except for blobs that are missing or corrupt in the source, 2 failed, 3 the blobs are
copied, and the source has to be read-only to finish.
`;

export function migrate(args: readonly string[]): Promise<number> {
  return failingWith2(async () => {
    const line = readCommandLine(args, {
      help: HELP,
      options: { from: { type: "string" }, to: { type: "string" }, json: { type: "boolean", default: false } },
      maxWords: 0,
    });
    if (!line) return 0;
    const { from, to, json } = line.values;
    if (from === undefined || to === undefined) {
      throw new CommandError(
        "migrate takes --from and --to: stowage migrate --from old.yml --to new.yml, each a settings file or a data folder",
      );
    }
    const ends = { from: endOf("--from", from), to: endOf("--to", to) };
    refuseSame(ends.from, ends.to);
    await using source = await openSource(ends.from);
    await using target = await openTarget(ends.to);
    return await new MigrationRun(ends, source, target, { json }).run();
  });
}

/** The settings of one of both registries. */
function endOf(option: string, value: string): Settings {
  const isFile = /\.ya?ml$/i.test(value) || (existsSync(value) && statSync(value).isFile());
  try {
    const { settings } = isFile
      ? loadSettings({ file: { path: value, text: readSettings(value) }, environment: {}, flags: {} })
      : loadSettings({ environment: {}, flags: { "storage.filesystem.rootdirectory": value } });
    return settings;
  } catch (error) {
    if (error instanceof SettingsError) throw new CommandError(`${option}: ${error.message}`, { cause: error });
    throw error;
  }
}

function refuseSame(from: Settings, to: Settings): void {
  const [one, other] = [databaseName(from), databaseName(to)];
  if (one === other) throw new CommandError(`--from and --to mean the same database, ${one}: name another target`);
  if (storeName(from) === storeName(to) && !to.storage.s3) {
    throw new CommandError(
      `--from and --to mean the same files, in ${to.storage.filesystem.rootdirectory}: give the target another folder; on the same ` +
        "file system the files become hard links, which take no time and no space",
    );
  }
}
