/** One line for each request, with the names of fields that distribution's log has. */
import type { Logger } from "./logger.ts";
import { systemClock } from "../lib/clock.ts";
import type { Clock } from "../lib/clock.ts";
import { escapeControlsInJson } from "../lib/control-characters.ts";
import { LruCache, textBytes } from "../lib/lru.ts";
import type { RequestSeries } from "./request-series.ts";

/** A request and its answer, as far as they are the same each time that a cached response is served: formatted once for all. */
export class Answered {
  readonly method: string;
  /** Path and query as they were sent. */
  readonly uri: string;
  readonly status: number;
  /** Bytes of the answer's body; 0 when that was not known. */
  readonly written: number;
  /** The kind of the endpoint; undefined when the path names none. */
  readonly handler: string | undefined;
  readonly repository: string | undefined;
  /** Where it is counted, once that was looked up. */
  series: RequestSeries | undefined;
  #json: JsonParts | undefined;

  constructor({ method, uri, status, written, handler, repository }: AnsweredParts) {
    this.method = method;
    this.uri = uri;
    this.status = status;
    this.written = written;
    this.handler = handler;
    this.repository = repository;
  }

  /** Its parts of a line of JSON. */
  get json(): JsonParts {
    return (this.#json ??= jsonPartsOf(this));
  }
}

type AnsweredParts = Pick<Answered, "method" | "uri" | "status" | "written"> &
  Partial<Pick<Answered, "handler" | "repository">>;

interface JsonParts {
  /** What stands between the time and the client. */
  readonly request: string;
  /** What stands between the client and the duration, and behind that: fields, and the value of the message. */
  readonly status: string;
  readonly written: string;
  readonly message: string;
}

/** A request that was answered. */
export interface Access {
  readonly answered: Answered;
  readonly remoteAddress: string | undefined;
  /** The principal's name, when it has proven one. */
  readonly user: string | undefined;
  readonly userAgent: string | null;
  /** Bytes of the request's body that were received; 0 when absent. */
  readonly received?: number | undefined;
  /** Consists of characters that JSON takes as they are. */
  readonly requestId?: string | undefined;
  /** Likewise; of a request that is traced. */
  readonly traceId?: string | undefined;
  /** Milliseconds until the answer was ready to be sent. */
  readonly duration: number;
}

/** What a line of JSON is made of besides its level. */
export interface LineNames {
  readonly time: string;
  readonly message: string;
  /** Those that every line has. */
  readonly fields: Readonly<Record<string, string | number | boolean>>;
}

export const LINE_NAMES: LineNames = { time: "time", message: "msg", fields: {} };

export type AccessLog = (access: Access) => void;

/** So many characters of what a client sent are in the line; the rest is cut off, and "…" says so. */
const MAX_URI = 4096;
const MAX_USER_AGENT = 512;

/** What a line needs in memory while it waits, without what a client sent. */
const LINE_BYTES = 512;

/** Lines for a person at a terminal. */
export function textAccessLog(log: Logger): AccessLog {
  return ({ answered: { method, uri, status }, remoteAddress, user, userAgent, duration }) => {
    const client = [remoteAddress, user, userAgent === null ? undefined : cut(userAgent, MAX_USER_AGENT)];
    const parts = [method, status, cut(uri, MAX_URI), `${duration.toFixed(1)} ms`, ...client];
    log.info(parts.filter((part) => part !== undefined).join(" "));
  };
}

/** Bytes of formatted user agents that are cached: a registry has a few kinds of clients, and each says the same each time. */
const MAX_CACHED_BYTES = 256 * 1024;

/**
 * Lines of JSON, put together by hand as the log would: there is one for each request, so they are to cost next to
 * nothing.
 */
export function jsonAccessLog(
  writer: { writeSoon(line: () => string, bytes: number): void },
  clock: Clock = systemClock,
  { time: timeName, message: messageName, fields }: LineNames = LINE_NAMES,
): AccessLog {
  const start = `{"level":"info","${timeName}":"`;
  const more = Object.entries(fields)
    .map(([name, value]) => `,${quoted(name)}:${escapeControlsInJson(JSON.stringify(value))}`)
    .join("");
  let [millisecond, time] = [0, ""];
  const timeNow = (): string => {
    const now = clock.now();
    if (now !== millisecond) [millisecond, time] = [now, new Date(now).toISOString()];
    return time;
  };
  const quotedUserAgents = new LruCache<string, string>(MAX_CACHED_BYTES);
  const quotedUserAgent = (userAgent: string): string => {
    const cached = quotedUserAgents.get(userAgent);
    if (cached !== undefined) return cached;
    const made = quoted(cut(userAgent, MAX_USER_AGENT));
    quotedUserAgents.set(userAgent, made, textBytes(userAgent) + textBytes(made));
    return made;
  };
  const lineOf = (
    { answered, requestId, traceId, remoteAddress, user, userAgent, duration }: Access,
    at: string,
  ): string => {
    const { request, status, written, message } = answered.json;
    return (
      `${start}${at}"${more}${request}` +
      (requestId === undefined ? "" : `,"http.request.id":"${requestId}"`) +
      (traceId === undefined ? "" : `,"trace_id":"${traceId}"`) +
      (remoteAddress === undefined ? "" : `,"http.request.remoteaddr":"${remoteAddress}"`) +
      (user === undefined ? "" : `,"auth.user.name":${quoted(user)}`) +
      (userAgent === null ? "" : `,"http.request.useragent":${quotedUserAgent(userAgent)}`) +
      `${status}${duration}${written},"${messageName}":${message}`
    );
  };
  return (access) => {
    const at = timeNow();
    const bytes = LINE_BYTES + access.answered.uri.length + (access.userAgent?.length ?? 0);
    writer.writeSoon(() => lineOf(access, at), bytes);
  };
}

function jsonPartsOf({ method, uri, status, written }: Answered): JsonParts {
  const path = quoted(cut(uri, MAX_URI));
  return {
    request: `,"http.request.method":"${method}","http.request.uri":${path}`,
    status: `,"http.response.status":${status},"http.response.duration":`,
    written: `,"http.response.written":${written}`,
    message: `"${method} ${status} ${path.slice(1)}}\n`,
  };
}

function quoted(text: string): string {
  return escapeControlsInJson(JSON.stringify(text));
}

function cut(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length)}…`;
}
