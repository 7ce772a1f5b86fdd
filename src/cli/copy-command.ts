/** What `backup` and `restore` are told: a folder, whether bytes are copied, and the settings of the server. */
import type { Settings } from "../config/schema.ts";
import { readCommandLine } from "./command-line.ts";
import type { CopyOptions } from "./copy-registry.ts";
import { SETTINGS_OPTIONS, settingsFrom } from "./settings-options.ts";

export interface CopyCommand extends CopyOptions {
  /** The one folder that was named; undefined when there was none, or more than one. */
  readonly folder: string | undefined;
  readonly settings: Settings;
}

/** Undefined when help was asked for and has been given. */
export function readCopyCommand(
  args: readonly string[],
  help: string,
  environment: Readonly<Record<string, string | undefined>>,
): CopyCommand | undefined {
  const line = readCommandLine(args, help, {
    ...SETTINGS_OPTIONS,
    copy: { type: "boolean", default: false },
    config: { type: "string" },
  });
  if (!line) return undefined;
  const { values, positionals } = line;
  const { settings } = settingsFrom(values.config, values, environment);
  return { folder: positionals.length === 1 ? positionals[0] : undefined, copy: values.copy, settings };
}
