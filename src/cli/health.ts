/** The health checks of the settings. */
import type { HealthSettings } from "../config/health-settings.ts";
import type { Logger } from "../observe/logger.ts";
import { HealthChecks, fileCheck, httpCheck, tcpCheck } from "../server/ops/health-checks.ts";
import type { HealthCheck } from "../server/ops/health-checks.ts";

/** Starts the checks; they run until they are disposed of. */
export function startHealthChecks(health: HealthSettings, log: Logger): HealthChecks {
  return new HealthChecks(checksOf(health), log);
}

function checksOf({ file, http, tcp }: HealthSettings): readonly HealthCheck[] {
  return [
    ...file.map((each) => fileCheck(each.file, timesOf(each))),
    ...http.map((each) => httpCheck({ ...each, ...timesOf(each), timeoutMs: each.timeout })),
    ...tcp.map((each) => {
      const [, bracketed, name, port] = /^(?:\[(.+)\]|(.+)):(\d+)$/.exec(each.addr) ?? [];
      return tcpCheck({
        ...timesOf(each),
        hostname: bracketed ?? name ?? "",
        port: Number(port),
        timeoutMs: each.timeout,
      });
    }),
  ];
}

function timesOf({ interval, threshold }: { readonly interval: number; readonly threshold: number }) {
  return { intervalMs: interval, threshold };
}

/** Why the server is not ready, in one line; undefined when no check fails. */
export function notReadyBecause({ failing }: HealthChecks): string | undefined {
  if (failing.size === 0) return undefined;
  return `not ready: ${Array.from(failing, ([name, reason]) => `${name}: ${reason}`).join("; ")} (health)`;
}
