/** Settings that are put in force while the server runs, in the process that was started and in its workers. */
import { changeOf, changeText, isReloaded } from "../config/reloading.ts";
import type { Settings } from "../config/schema.ts";
import type { Registry } from "../create-registry.ts";
import type { Logger } from "../observe/logger.ts";
import type { ServerLogs } from "../observe/logs.ts";
import type { HealthChecks } from "../server/ops/health-checks.ts";
import { accessOf } from "./access.ts";
import { CommandError } from "./command-error.ts";
import { startHealthChecks } from "./health.ts";
import { liveOptionsOf } from "./open-registry.ts";

/** What of a process follows the settings. */
export interface LiveParts {
  readonly registry: Registry;
  readonly logs: ServerLogs;
  /** Is given the checks of the settings, which run; those before are stopped. */
  readonly setHealthChecks: (checks: HealthChecks) => void;
}

/** Resolves when settings are in force from the next request on. Throws `CommandError`, and changes nothing, when they cannot be. */
export async function applySettings(settings: Settings, { registry, logs, setHealthChecks }: LiveParts): Promise<void> {
  const options = await liveOptionsOf(settings, { serving: true });
  logs.configure({ level: settings.log.level, requests: !settings.log.accesslog.disabled });
  registry.reconfigure({ ...options, policies: settings.policies });
  setHealthChecks(startHealthChecks(settings.health, logs.log));
}

/** Reads settings, applies what may change, and says in one line of the log what changed. Settings that are wrong change nothing. */
export class Reloader {
  readonly #read: () => Settings;
  readonly #apply: (settings: Settings) => Promise<void>;
  readonly #log: Logger;
  #settings: Settings;
  #reloading: Promise<void> = Promise.resolve();

  constructor(
    settings: Settings,
    log: ServerLogs["log"],
    { read, apply }: { readonly read: () => Settings; readonly apply: (settings: Settings) => Promise<void> },
  ) {
    this.#settings = settings;
    this.#log = log;
    this.#read = read;
    this.#apply = apply;
  }

  /** One after the other. */
  reload(): Promise<void> {
    return (this.#reloading = this.#reloading.then(() => this.#reload()));
  }

  async #reload(): Promise<void> {
    try {
      const read = this.#read();
      const keepsPolicies = !mayReplacePolicies(this.#settings, read);
      const change = changeOf(
        this.#settings,
        read,
        (path) => !isReloaded(path) || (path === "policies" && keepsPolicies),
      );
      if (change.applied.length > 0) await this.#apply(change.settings);
      this.#settings = change.settings;
      this.#log.info(changeText(change));
    } catch (error) {
      if (!(error instanceof CommandError)) {
        notInForce(error, this.#log);
        return;
      }
      this.#log.error(
        { reason: error.message },
        "settings were not read again, because one is wrong: those before stay",
      );
    }
  }
}

/** Says that settings that were read again could not be put in force. */
export function notInForce(error: unknown, log: Logger): void {
  log.error({ err: error }, "settings could not be put in force: those before stay");
}

/** Whether the same kind of login goes with both: otherwise the policies decide how clients are asked. */
function mayReplacePolicies(before: Settings, after: Settings): boolean {
  const [old, changed] = [accessOf(before), accessOf({ ...before, policies: after.policies })];
  return old?.kind === "accounts" && changed?.kind === "accounts" && old.basicRealm === changed.basicRealm;
}
