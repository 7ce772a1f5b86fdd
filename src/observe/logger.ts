/** The log: lines of JSON for machines, or of text for people. */
import { pino } from "pino";
import type { Logger } from "pino";
import { default as pretty } from "pino-pretty";

export type { Logger } from "pino";

export type LogLevel = "debug" | "info" | "warn" | "error";

export interface LogOptions {
  readonly level: LogLevel;
  /** Text for a person at a terminal; JSON, one object a line, for everything else. */
  readonly format: "text" | "json";
}

/** A log on standard output. Lines are written at once: none is lost when the process is killed. */
export function createLogger({ level, format }: LogOptions): Logger {
  if (format === "text") {
    return pino({ level }, pretty({ sync: true, translateTime: "SYS:HH:MM:ss", ignore: "pid,hostname" }));
  }
  return pino(
    {
      level,
      formatters: { level: (label) => ({ level: label }) },
      timestamp: pino.stdTimeFunctions.isoTime,
      base: null,
    },
    pino.destination({ dest: 1, sync: true }),
  );
}

/** A log that says nothing, for a registry inside another program. */
export function silentLogger(): Logger {
  return pino({ level: "silent" });
}
