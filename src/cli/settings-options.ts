/** The options by which every command that opens the data folder takes its settings. */
import { readFileSync } from "node:fs";
import type { Settings } from "../config/schema.ts";
import { SettingsError, loadSettings } from "../config/sources.ts";
import { CommandError } from "./command-error.ts";

/** For `parseArgs`. */
export const SETTINGS_OPTIONS = {
  addr: { type: "string" },
  data: { type: "string" },
  "log-level": { type: "string" },
  delete: { type: "string" },
} as const;

export const SETTINGS_HELP = `  --addr HOST:PORT      where to listen            (REGISTRY_HTTP_ADDR, 127.0.0.1:5000)
  --data FOLDER         where everything is kept   (REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY, ./data)
  --log-level LEVEL     debug, info, warn or error (REGISTRY_LOG_LEVEL, info)
  --delete true|false   whether clients may delete (REGISTRY_STORAGE_DELETE_ENABLED, true)

Settings come from defaults, then the file, then the environment, then these options; the last one wins.
docs/configuration.md names them all.`;

interface SettingsValues {
  readonly addr?: string | undefined;
  readonly data?: string | undefined;
  readonly "log-level"?: string | undefined;
  readonly delete?: string | undefined;
}

/** The settings in force. `path` is the settings file; `REGISTRY_CONFIGURATION_PATH` when absent, if that is set. */
export function settingsFrom(
  path: string | undefined,
  values: SettingsValues,
  environment: Readonly<Record<string, string | undefined>>,
): { readonly settings: Settings; readonly warnings: readonly string[] } {
  const file = path ?? environment["REGISTRY_CONFIGURATION_PATH"];
  const flags: Record<string, unknown> = {};
  if (values.addr !== undefined) flags["http.addr"] = values.addr;
  if (values.data !== undefined) flags["storage.filesystem.rootdirectory"] = values.data;
  if (values["log-level"] !== undefined) flags["log.level"] = values["log-level"];
  if (values.delete !== undefined) flags["storage.delete.enabled"] = booleanOf(values.delete);
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

function readSettings(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new CommandError(`the settings file ${path} cannot be read: name one that is there, such as config.yml`, {
      cause: error,
    });
  }
}
