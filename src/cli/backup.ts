/** `stowage backup`: a copy of everything, made while the registry serves. */
import { resolve } from "node:path";
import { silentLogger } from "../observe/logger.ts";
import { CommandError, failingWith2 } from "./command-error.ts";
import { readCopyCommand } from "./copy-command.ts";
import { copyRegistry } from "./copy-registry.ts";
import { openRegistry } from "./open-registry.ts";
import { print } from "./print.ts";
import { SETTINGS_HELP } from "./settings-options.ts";

const HELP = `stowage backup FOLDER [options]: copies everything into a folder; a server may go on serving

The copy is the registry as of one moment. Files are hard links where the file system allows: made at once, and no room
is needed; what damages the bytes of one then damages the other.

  --copy                copy the bytes, so that the backup shares nothing with the registry
${SETTINGS_HELP}

Exit code: 0 done, 2 failed.
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
    await using registry = await openRegistry(settings, silentLogger(), { mustExist: true });
    const from = resolve(settings.storage.filesystem.rootdirectory);
    const what = await copyRegistry(registry, from, resolve(folder), { copy });
    print(
      `${resolve(folder)} holds ${what}.\n` +
        "Whoever can read it can read every image, with the secrets that people put into images: only this user can.\n",
    );
    return 0;
  });
}
