/** One line for each request, with the names of fields that distribution's log has. */
import type { Logger } from "pino";
import { systemClock } from "../lib/clock.ts";
import type { Clock } from "../lib/clock.ts";
import { escapeControlsInJson } from "../lib/control-characters.ts";

/** A request that was answered. */
export interface Access {
  readonly method: string;
  /** Path and query as they were sent. */
  readonly uri: string;
  readonly remoteAddress: string | undefined;
  /** Who asked, when that was proven. */
  readonly user: string | undefined;
  readonly userAgent: string | null;
  readonly status: number;
  /** Milliseconds until the answer was ready to be sent. */
  readonly duration: number;
  /** Bytes of the answer's body; 0 when that was not known. */
  readonly written: number;
}

export type AccessLog = (access: Access) => void;

/** So many characters of what a client sent are in the line; the rest is cut off, and "…" says so. */
const MAX_URI = 4096;
const MAX_USER_AGENT = 512;

/** What a line needs in memory while it waits, without what a client sent. */
const LINE_BYTES = 512;

/** Lines for a person at a terminal. */
export function textAccessLog(log: Logger): AccessLog {
  return ({ method, uri, remoteAddress, user, userAgent, status, duration }) => {
    const who = [remoteAddress, user, userAgent === null ? undefined : cut(userAgent, MAX_USER_AGENT)];
    const parts = [method, status, cut(uri, MAX_URI), `${duration.toFixed(1)} ms`, ...who];
    log.info(parts.filter((part) => part !== undefined).join(" "));
  };
}

/**
 * Lines of JSON, put together by hand as the log would: there is one for each request, so they are to cost next to
 * nothing.
 */
export function jsonAccessLog(
  writer: { writeSoon(line: () => string, bytes: number): void },
  clock: Clock = systemClock,
): AccessLog {
  let [millisecond, time] = [0, ""];
  const timeNow = (): string => {
    const now = clock.now();
    if (now !== millisecond) [millisecond, time] = [now, new Date(now).toISOString()];
    return time;
  };
  return (access) => {
    const at = timeNow();
    const bytes = LINE_BYTES + access.uri.length + (access.userAgent?.length ?? 0);
    writer.writeSoon(() => escapeControlsInJson(lineOf(access, at)), bytes);
  };
}

function lineOf(
  { method, uri, remoteAddress, user, userAgent, status, duration, written }: Access,
  time: string,
): string {
  const quoted = JSON.stringify(cut(uri, MAX_URI));
  return (
    `{"level":"info","time":"${time}","http.request.method":"${method}","http.request.uri":${quoted}` +
    (remoteAddress === undefined ? "" : `,"http.request.remoteaddr":"${remoteAddress}"`) +
    (user === undefined ? "" : `,"auth.user.name":${JSON.stringify(user)}`) +
    (userAgent === null ? "" : `,"http.request.useragent":${JSON.stringify(cut(userAgent, MAX_USER_AGENT))}`) +
    `,"http.response.status":${status},"http.response.duration":${duration},"http.response.written":${written}` +
    `,"msg":"${method} ${status} ${quoted.slice(1)}}\n`
  );
}

function cut(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length)}…`;
}
