/** What the debug address answers: for machines that watch, apart from what clients reach. */
import { METRICS_TYPE } from "../../observe/metrics.ts";
import type { Readiness } from "../../registry/readiness.ts";
import type { Handler } from "../http/handler.ts";
import { empty, json, text } from "../http/reply.ts";
import { pathOf, targetOf } from "../http/request-target.ts";

export interface DebugOptions {
  /** Where Prometheus reads what `metricsText` gives; nowhere when absent. */
  readonly metricsPath: string | undefined;
  readonly metricsText: () => Promise<string>;
  /** Health checks of the settings that fail, by their names. */
  readonly failing: () => ReadonlyMap<string, string>;
  readonly readiness: () => Promise<Readiness>;
  /** Has the server drain, or no longer. */
  readonly drain: (isDraining: boolean) => void;
}

/** `/debug/health` answers 503 with what fails, by its name, as in distribution. */
export function createDebugHandler(options: DebugOptions): Handler {
  const { metricsPath, metricsText, failing, readiness, drain } = options;
  return async (request) => {
    const path = pathOf(targetOf(request.url));
    const switched = SWITCHES[path];
    if (switched !== undefined) {
      if (request.method !== "POST") return empty(405, { allow: "POST" });
      drain(switched);
      return empty(200);
    }
    if (request.method !== "GET" && request.method !== "HEAD") return empty(405, { allow: "GET, HEAD" });
    if (path === "/debug/health") {
      const checks = { ...Object.fromEntries(failing()), ...FAILING[await readiness()] };
      return json(Object.keys(checks).length > 0 ? 503 : 200, checks);
    }
    if (path !== metricsPath) return empty(404);
    return text(200, await metricsText(), { "content-type": METRICS_TYPE });
  };
}

/** Paths that the health package of distribution has. */
const SWITCHES: Readonly<Record<string, boolean | undefined>> = {
  "/debug/health/down": true,
  "/debug/health/up": false,
};

/** What fails, by the names that distribution has for its checks. */
const FAILING: Readonly<Record<Readiness, object | undefined>> = {
  ready: undefined,
  "not ready": { storagedriver: "the database or the storage does not respond" },
  draining: { manual_http_status: "manual Check" },
};
