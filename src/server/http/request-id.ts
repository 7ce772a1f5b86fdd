/** The id of a request: the same in the log, in traces, and in the response. */
import { randomBytes } from "node:crypto";

export const REQUEST_ID = "x-request-id";

/** What proxies and clients send as an id: others could forge lines of a log, or be too long for it. */
const USABLE = /^[\w.:+/=@-]{1,128}$/;

/** Begins the ids of this process, which are counted: nothing rests on them being hard to guess. */
const PROCESS = randomBytes(6).toString("hex");
let count = 0;

/** Returns the id that the request came with, when it is usable, or a new one. */
export function requestIdOf(request: Request): string {
  const given = request.headers.get(REQUEST_ID);
  return given !== null && USABLE.test(given) ? given : `${PROCESS}-${(++count).toString(36)}`;
}
