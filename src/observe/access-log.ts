/** One line for each request, with the names of fields that distribution's log has. */
import type { Logger } from "pino";
import { systemClock } from "../lib/clock.ts";
import type { Clock } from "../lib/clock.ts";
import type { Lines } from "./lines.ts";

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

/** Lines as the log writes them. */
export function accessLogOf(log: Logger): AccessLog {
  return ({ method, uri, remoteAddress, user, userAgent, status, duration, written }) =>
    log.info(
      {
        "http.request.method": method,
        "http.request.uri": uri,
        "http.request.remoteaddr": remoteAddress,
        "auth.user.name": user,
        "http.request.useragent": userAgent ?? undefined,
        "http.response.status": status,
        "http.response.duration": duration,
        "http.response.written": written,
      },
      `${method} ${status} ${uri}`,
    );
}

/** The very same lines as JSON, put together by hand: there is one for each request, and so they are to cost next to nothing. */
export function jsonAccessLog(lines: Lines, clock: Clock = systemClock): AccessLog {
  let [millisecond, time] = [0, ""];
  const timeNow = (): string => {
    const now = clock.now();
    if (now !== millisecond) [millisecond, time] = [now, new Date(now).toISOString()];
    return time;
  };
  return (access) => {
    const at = timeNow();
    lines.writeSoon(() => lineOf(access, at));
  };
}

function lineOf(
  { method, uri, remoteAddress, user, userAgent, status, duration, written }: Access,
  time: string,
): string {
  const quoted = JSON.stringify(uri);
  return (
    `{"level":"info","time":"${time}","http.request.method":"${method}","http.request.uri":${quoted}` +
    (remoteAddress === undefined ? "" : `,"http.request.remoteaddr":"${remoteAddress}"`) +
    (user === undefined ? "" : `,"auth.user.name":${JSON.stringify(user)}`) +
    (userAgent === null ? "" : `,"http.request.useragent":${JSON.stringify(userAgent)}`) +
    `,"http.response.status":${status},"http.response.duration":${duration},"http.response.written":${written}` +
    `,"msg":"${method} ${status} ${quoted.slice(1)}}\n`
  );
}
