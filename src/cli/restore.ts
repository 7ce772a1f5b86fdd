/** `stowage restore`: a data folder out of a backup. */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { createRegistry } from "../create-registry.ts";
import { CommandError, failingWith2 } from "./command-error.ts";
import { readCopyCommand } from "./copy-command.ts";
import { copyRegistry } from "./copy-registry.ts";
import { print } from "./print.ts";
import { SETTINGS_HELP } from "./settings-options.ts";

const HELP = `stowage restore FOLDER [options]: makes the data folder out of a backup; the data folder must be empty

  --copy                copy the bytes, so that the registry shares nothing with the backup
${SETTINGS_HELP}

Exit code: 0 done, 2 failed.
`;

export function restore(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  return failingWith2(async () => {
    const command = readCopyCommand(args, HELP, environment);
    if (!command) return 0;
    const { folder, copy, settings } = command;
    if (folder === undefined || !existsSync(join(folder, "registry.db"))) {
      throw new CommandError("restore takes the folder of a backup: stowage restore /var/backups/stowage-1");
    }
    const to = resolve(settings.storage.filesystem.rootdirectory);
    await using kept = await createRegistry({ storage: { folder: resolve(folder), mustExist: true } });
    const what = await copyRegistry(kept, resolve(folder), to, { copy });
    print(`${to} holds ${what}. Start the server on it: stowage serve --data ${to}\n`);
    return 0;
  });
}
