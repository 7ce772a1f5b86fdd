/** Says which data folder a command works on: in another working folder, or without a setting, it would find another one. */
import type { Settings } from "../config/schema.ts";
import { folderPath } from "../lib/folder-path.ts";
import { CommandError } from "./command-error.ts";
import { printError } from "./print.ts";

/**
 * Does the work and then names the data folder on standard error, so that programs can read what the command prints; when
 * the work throws a `CommandError`, its message names the folder.
 */
export async function workingIn<Result>({ storage }: Settings, work: () => Promise<Result>): Promise<Result> {
  const folder = folderPath(storage.filesystem.rootdirectory);
  try {
    const result = await work();
    printError(`stowage: the registry in ${folder}\n`);
    return result;
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    const { message, exitCode } = error;
    throw new CommandError(`${message} (the registry in ${folder})`, { cause: error, exitCode });
  }
}
