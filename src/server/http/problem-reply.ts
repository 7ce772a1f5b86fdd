/** Errors of the JSON API: problem details (RFC 9457), with the codes of `oci/error.ts`. */
import type { OciError } from "../../oci/error.ts";
import type { HeaderMap } from "./common-headers.ts";
import { text } from "./reply.ts";
import type { Reply } from "./reply.ts";

/** The media type of problems (RFC 9457, 3). */
export const PROBLEM_TYPE = "application/problem+json";

/** Names of statuses that refusals have (RFC 9110, 15). Those of `node:http` would load all of it at the start. */
const TITLES: Readonly<Record<number, string>> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  409: "Conflict",
  412: "Precondition Failed",
  413: "Content Too Large",
  415: "Unsupported Media Type",
  416: "Range Not Satisfiable",
  429: "Too Many Requests",
  500: "Internal Server Error",
  503: "Service Unavailable",
  507: "Insufficient Storage",
};

/** The reply to a refusal, or to an internal error where there is none: then it has nothing of the cause, which the log has. */
export function problemReply(refusal: OciError | undefined, headers: HeaderMap, requestId: string): Reply {
  const status = refusal?.status ?? 500;
  const details = refusal?.details.filter((detail) => detail !== undefined) ?? [];
  const problem = {
    title: TITLES[status] ?? "Error",
    status,
    detail: refusal?.message ?? "internal error: the log of the registry has the cause",
    code: refusal?.code ?? "UNKNOWN",
    requestId,
    ...(details.length > 0 && { details }),
  };
  const retry = status === 503 || status === 429 ? { "retry-after": String(refusal?.retryAfterSeconds ?? 5) } : {};
  return text(status, JSON.stringify(problem), { "content-type": PROBLEM_TYPE, ...retry, ...headers });
}
