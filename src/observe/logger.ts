/** What writes to the log, whoever gathers its lines. */
import type { Logger as PinoLogger } from "pino";

/** What the program needs of a logger of pino. */
export type Logger = Pick<PinoLogger, "debug" | "info" | "warn" | "error">;

/** A log that says nothing: for commands, and for a registry inside another program. */
export function silentLogger(): Logger {
  return { debug: ignore, info: ignore, warn: ignore, error: ignore };
}

function ignore(): void {}
