/** What the debug address answers: for machines that watch, apart from what clients reach. */
import { METRICS_TYPE } from "../../observe/metrics.ts";
import type { Handler } from "../http/handler.ts";
import { getHealth } from "./health.ts";
import { empty, text } from "../http/reply.ts";
import { fullReply } from "../http/representation.ts";
import { pathOf, targetOf } from "../http/request-target.ts";

/**
 * `metricsPath` is where Prometheus reads what `metricsText` gives; nowhere when absent. `failing` are health checks that fail, by
 * their names: `/debug/health` answers 503 with them, as in distribution.
 */
export function createDebugHandler(
  metricsText: () => Promise<string>,
  metricsPath: string | undefined,
  failing: () => ReadonlyMap<string, string>,
): Handler {
  return async (request) => {
    if (request.method !== "GET" && request.method !== "HEAD") return empty(405, { allow: "GET, HEAD" });
    const path = pathOf(targetOf(request.url));
    if (path === "/debug/health") {
      const checks = failing();
      if (checks.size === 0) return fullReply(getHealth());
      return text(503, JSON.stringify(Object.fromEntries(checks)), { "content-type": "application/json" });
    }
    if (path !== metricsPath) return empty(404);
    return text(200, await metricsText(), { "content-type": METRICS_TYPE });
  };
}
