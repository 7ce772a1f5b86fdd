/** Which settings a running server takes anew at SIGHUP; all others need a restart. */
import { isDeepStrictEqual } from "node:util";
import { SETTING_PATHS } from "./schema.ts";
import type { Settings } from "./schema.ts";

/** Settings, and sections with all that is in them. */
const RELOADED: readonly string[] = [
  "log.level",
  "loglevel",
  "log.accesslog",
  "policies",
  "protectedtags",
  "limits",
  "storage.inline",
  "storage.delete",
  "storage.maintenance",
  "compatibility",
  "validation",
  "health",
  "policy",
];

export function isReloaded(path: string): boolean {
  return RELOADED.some((known) => path === known || path.startsWith(`${known}.`));
}

export interface SettingsChange {
  /** The settings in force from now on: those before, with what may change while the server runs. */
  readonly settings: Settings;
  /** Which changes they have, by the paths of the settings. */
  readonly applied: readonly string[];
  /** Changes that need a restart. */
  readonly pending: readonly string[];
}

/** What a server does with settings that were read again. `needsRestart` says of which paths it must not take them. */
export function changeOf(
  before: Settings,
  read: Settings,
  needsRestart: (path: string) => boolean = (path) => !isReloaded(path),
): SettingsChange {
  const changed = SETTING_PATHS.filter((path) => !isDeepStrictEqual(valueAt(before, path), valueAt(read, path)));
  const pending = changed.filter(needsRestart);
  const applied = changed.filter((path) => !pending.includes(path));
  const settings = structuredClone(before);
  for (const path of applied) setAt(settings, path, valueAt(read, path));
  return { settings, applied, pending };
}

/** In one line, for the log. */
export function changeText({ applied, pending }: Omit<SettingsChange, "settings">): string {
  if (applied.length + pending.length === 0) return "settings were read again: nothing changed";
  const done = applied.length === 0 ? "nothing was applied" : `${applied.join(", ")} in force`;
  return `settings were read again: ${done}${pending.length === 0 ? "" : `; a restart is needed for ${pending.join(", ")}`}`;
}

type Section = Record<string, unknown>;

function valueAt(settings: Settings, path: string): unknown {
  return path.split(".").reduce<unknown>((place, key) => (place as Section | undefined)?.[key], settings);
}

function setAt(settings: Settings, path: string, value: unknown): void {
  const keys = path.split(".");
  const last = keys.pop() ?? "";
  let place = settings as unknown as Section;
  for (const key of keys) place = (place[key] ??= {}) as Section;
  if (value === undefined) delete place[last];
  else place[last] = value;
}
