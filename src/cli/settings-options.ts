/** The options by which every command that opens the data folder takes its settings. */
import { readFileSync } from "node:fs";
import { parseAddress } from "../config/address.ts";
import { OPTIONS, SettingsError, loadSettings } from "../config/sources.ts";
import type { LoadedSettings } from "../config/sources.ts";
import { FILE_VARIABLE } from "../config/variables.ts";
import { fileErrorReason } from "../lib/file-error.ts";
import { CommandError } from "./command-error.ts";

/** For `readCommandLine`. */
export const SETTINGS_OPTIONS = {
  config: { type: "string" },
  addr: { type: "string" },
  data: { type: "string" },
  "log-level": { type: "string" },
  delete: { type: "string" },
} as const;

export const SETTINGS_HELP = `  --config CONFIG.yml   the settings file          (REGISTRY_CONFIGURATION_PATH)
  --addr HOST:PORT      address to listen on       (REGISTRY_HTTP_ADDR, 127.0.0.1:5000)
  --data FOLDER         the data folder            (REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY, ./data)
  --log-level LEVEL     debug, info, warn or error (REGISTRY_LOG_LEVEL, info)
  --delete true|false   whether clients may delete (REGISTRY_STORAGE_DELETE_ENABLED, true)

Precedence: options, then environment variables, then the settings file, then defaults.
stowage config explain KEY describes a setting; docs/configuration.md describes all of them.`;

interface SettingsValues {
  readonly config?: string | undefined;
  readonly addr?: string | undefined;
  readonly data?: string | undefined;
  readonly "log-level"?: string | undefined;
  readonly delete?: string | undefined;
}

/**
 * Returns the settings in force, and what is odd about them. The settings file is what `--config` names, or `word` for the
 * commands that take it as a word too, or `REGISTRY_CONFIGURATION_PATH`. Throws `CommandError` when a setting is wrong.
 */
export function settingsFrom(
  values: SettingsValues,
  environment: Readonly<Record<string, string | undefined>>,
  word?: string,
): LoadedSettings {
  if (values.config !== undefined && word !== undefined) {
    throw new CommandError(`two settings files were given: remove --config ${values.config} or ${word}`);
  }
  const file = values.config ?? word ?? environment[FILE_VARIABLE];
  const flags: Record<string, unknown> = {};
  for (const [setting, option] of Object.entries(OPTIONS)) {
    const text = values[option.slice("--".length) as keyof SettingsValues];
    if (text !== undefined) flags[setting] = setting === "storage.delete.enabled" ? booleanOf(text) : text;
  }
  try {
    return loadSettings({
      file: file === undefined ? undefined : { path: file, text: readSettings(file) },
      environment,
      flags,
    });
  } catch (error) {
    if (error instanceof SettingsError) throw new CommandError(error.message, { cause: error });
    throw error;
  }
}

function booleanOf(text: string): unknown {
  return text === "true" ? true : text === "false" ? false : text;
}

/** The text of a settings file. Throws `CommandError` when it cannot be read. */
export function readSettings(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const isAddress = /^\d{1,5}$/.test(path) || parseAddress(path)?.kind === "tcp";
    throw new CommandError(
      isAddress
        ? `${path} is not a settings file: to listen there, use --addr ${/^\d+$/.test(path) ? `:${path}` : path}`
        : `the settings file ${path === "" ? '""' : path} cannot be read: ${fileErrorReason(error)}: give the path of a readable file, such as config.yml`,
      { cause: error },
    );
  }
}
