/** The log: one line of JSON for each event for machines, or of text for people. */
import { isatty } from "node:tty";
import { pino, symbols } from "pino";
import { systemClock } from "../lib/clock.ts";
import { escapeControls, escapeControlsInJson, escapeControlsInLines } from "../lib/control-characters.ts";
import { LINE_NAMES, jsonAccessLog, textAccessLog } from "./access-log.ts";
import type { AccessLog, LineNames } from "./access-log.ts";
import { currentTraceId } from "./trace-context.ts";
import type { Logger } from "./logger.ts";
import { LogWriter } from "./log-writer.ts";
import type { DroppedLines } from "./log-writer.ts";

export type LogLevel = "debug" | "info" | "warn" | "error";

export interface LogOptions {
  readonly level: LogLevel;
  /** Text for a person at a terminal; JSON, one object a line, for everything else. That is the choice when absent. */
  readonly format?: "text" | "json" | "logstash" | undefined;
  /** Fields of every line. */
  readonly fields?: LineNames["fields"];
  /** Whether requests are logged; true when absent. */
  readonly requests?: boolean;
}

/** What a program says of itself, and of the requests that it answers. */
export interface Logs {
  readonly log: Logger;
  /** Absent when requests are not logged. */
  readonly access?: AccessLog | undefined;
}

/** Those of a server, on standard output. */
export interface ServerLogs extends Logs {
  /** Logs from this level on, and requests or not. */
  readonly configure: (options: Pick<LogOptions, "level" | "requests">) => void;
  /** Says that the server is up, at every level: as text for a person, or as a line of JSON with `fields`. */
  readonly greet: (text: string, fields: Readonly<Record<string, string | undefined>>, message: string) => void;
  /** Whether lines of the audit were dropped and nothing could be written since. */
  readonly auditFails: () => boolean;
  /** Calls `listener` with all lines that are dropped, from the first on. */
  readonly onDropped: (listener: (dropped: DroppedLines) => void) => void;
  /** Resolves when the last lines are written, or are not going to be. */
  readonly end: () => Promise<void>;
}

const STDOUT = 1;

/** Logs on standard output. */
export async function createLogs({ level, format, requests = true, ...options }: LogOptions): Promise<ServerLogs> {
  const isText = (format ?? (isatty(STDOUT) ? "text" : "json")) === "text";
  const names: LineNames =
    format === "logstash"
      ? { time: "@timestamp", message: "message", fields: { "@version": "1", ...options.fields } }
      : { ...LINE_NAMES, fields: options.fields ?? {} };
  const formatted = isText ? await textFormat() : escapeControlsInJson;
  const writer = new LogWriter(STDOUT, (dropped, reason) => formatted(noticeOf(dropped, reason, names)));
  const stream = {
    [symbols.needsMetadataGsym]: true, // so pino sets `lastObj`
    lastObj: undefined as unknown,
    write(line: string) {
      const isAudit = typeof this.lastObj === "object" && this.lastObj !== null && "audit" in this.lastObj;
      writer.write(formatted(line), { isAudit });
    },
  };
  const log = pino(
    {
      level,
      formatters: { level: (label) => ({ level: label }) },
      timestamp: () => `,"${names.time}":"${new Date().toISOString()}"`,
      messageKey: names.message,
      base: names.fields,
      mixin() {
        const traceId = currentTraceId();
        return traceId === undefined ? {} : { trace_id: traceId };
      },
    },
    stream,
  );
  const accessLog = isText ? textAccessLog(log) : jsonAccessLog(writer, systemClock, names);
  let logsRequests = requests;
  return {
    log,
    get access() {
      return logsRequests && log.isLevelEnabled("info") ? accessLog : undefined;
    },
    configure(changed) {
      log.level = changed.level;
      logsRequests = changed.requests ?? true;
    },
    greet(text, fields, message) {
      if (isText) writer.write(escapeControlsInLines(text));
      else log.child({}, { level: "info" }).info(fields, message);
    },
    auditFails: () => writer.auditFails,
    onDropped: (listener) => {
      writer.onDropped = listener;
    },
    end: () => writer.end(),
  };
}

/** Turns a line of JSON into text. */
async function textFormat(): Promise<(line: string) => string> {
  const { prettyFactory } = await import("pino-pretty"); // loaded when it is wanted
  // An audit's message says all that a person wants to know of it.
  const pretty = prettyFactory({ translateTime: "SYS:HH:MM:ss", singleLine: true, ignore: "audit" });
  return (line) => pretty(printable(JSON.parse(line)));
}

/** The same data with all control characters escaped, but for the lines of a stack. */
function printable(value: unknown, key?: string): unknown {
  if (typeof value === "string") {
    if (key !== "stack") return escapeControls(value);
    return value
      .split("\n")
      .map((line) => escapeControls(line))
      .join("\n");
  }
  if (Array.isArray(value)) return value.map((each) => printable(each));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [escapeControls(name), printable(each, name)]));
}

/** The line that says what is missing in the log. */
function noticeOf({ lines, auditLines }: DroppedLines, reason: string, names: LineNames): string {
  const time = new Date().toISOString();
  const message = "log lines were dropped, because standard output did not accept them";
  const more = { lines, auditLines, reason, [names.message]: message };
  return `${JSON.stringify({ level: "warn", [names.time]: time, ...names.fields, ...more })}\n`;
}
