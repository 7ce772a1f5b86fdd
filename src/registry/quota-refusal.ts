/** How a write is refused that a quota does not allow. */
import { formatSize } from "../lib/size.ts";
import { isQuotaProblem } from "../metadata/quotas.ts";
import type { QuotaProblem } from "../metadata/quotas.ts";
import { OciError } from "../oci/error.ts";

/** Returns the result of a write; throws `DENIED` when a quota does not allow it, and `UNAVAILABLE` while one is counted. */
export function allowedByQuotas<Result>(result: Result | QuotaProblem): Result {
  if (isQuotaProblem(result)) throw refusalOf(result);
  return result;
}

function refusalOf(problem: QuotaProblem): OciError {
  const { prefix } = problem;
  if (problem.kind === "counting") {
    return new OciError("UNAVAILABLE", {
      message:
        `the new quota of ${prefix === "*" ? "this registry" : prefix} is being counted, and what may be added until then was ` +
        "added: try again in a moment",
      detail: { prefix },
      retryAfterSeconds: 5,
    });
  }
  const { what, used, limit } = problem;
  const amounts = what === "bytes" ? [formatSize(used), formatSize(limit)] : [`${used}`, `${limit} ${what}`];
  const whose = prefix === "*" ? "this registry" : prefix;
  const nextCollection =
    problem.nextCollection === undefined ? undefined : new Date(problem.nextCollection).toISOString();
  return new OciError("DENIED", {
    message:
      `the quota of ${whose} is exceeded (quotas): ${amounts.join(" of ")} are used; ` +
      "delete images there, or ask the operator for a larger quota" +
      (nextCollection === undefined
        ? ""
        : `. Deleted bytes count until garbage collection, at ${nextCollection} at the earliest`),
    detail: { prefix, what, used, limit, ...(nextCollection === undefined ? {} : { nextCollection }) },
  });
}
