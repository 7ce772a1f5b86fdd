/** The log: lines of JSON for machines, or of text for people. */
import { pino } from "pino";
import type { Logger } from "pino";
import { default as pretty } from "pino-pretty";

import { accessLogOf, jsonAccessLog } from "./access-log.ts";
import type { AccessLog } from "./access-log.ts";
import { Lines } from "./lines.ts";

export type { Logger } from "pino";

export type LogLevel = "debug" | "info" | "warn" | "error";

export interface LogOptions {
  readonly level: LogLevel;
  /** Text for a person at a terminal; JSON, one object a line, for everything else. */
  readonly format: "text" | "json";
}

/** What a program says of itself, and of the requests that it answers. */
export interface Logs {
  readonly log: Logger;
  /** Absent when requests are not logged. */
  readonly access?: AccessLog | undefined;
}

/** Logs on standard output. */
export function createLogs({ level, format }: LogOptions): Logs {
  if (format === "text") {
    const log = pino({ level }, pretty({ sync: true, translateTime: "SYS:HH:MM:ss", ignore: "pid,hostname" }));
    return { log, access: log.isLevelEnabled("info") ? accessLogOf(log) : undefined };
  }
  const lines = new Lines(1);
  const log = pino(
    {
      level,
      formatters: { level: (label) => ({ level: label }) },
      timestamp: pino.stdTimeFunctions.isoTime,
      base: null,
    },
    lines,
  );
  return { log, access: log.isLevelEnabled("info") ? jsonAccessLog(lines) : undefined };
}

/** A log that says nothing, for a registry inside another program. */
export function silentLogger(): Logger {
  return pino({ level: "silent" });
}
