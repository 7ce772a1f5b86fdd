/** What `backup` and `restore` are told: a folder, whether bytes are copied, and the settings of the server. */
import type { Settings } from "../config/schema.ts";
import { readCommandLine } from "./command-line.ts";
import type { CopyOptions } from "./copy-registry.ts";
import { SETTINGS_OPTIONS, settingsFrom } from "./settings-options.ts";

export interface CopyCommand extends CopyOptions {
  /** Undefined when none was named. */
  readonly folder: string | undefined;
  readonly settings: Settings;
}

/** Undefined when help was asked for and has been given. */
export function readCopyCommand(
  args: readonly string[],
  help: string,
  environment: Readonly<Record<string, string | undefined>>,
): CopyCommand | undefined {
  const line = readCommandLine(args, {
    help,
    options: {
      ...SETTINGS_OPTIONS,
      copy: { type: "boolean", default: false },
    },
    maxWords: 1,
  });
  if (!line) return undefined;
  const { values, positionals } = line;
  const { settings } = settingsFrom(values, environment);
  return { folder: positionals[0], copy: values.copy, settings };
}
