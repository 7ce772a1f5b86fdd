/** What `stowage serve` and its workers share. */
import type { Settings } from "../config/schema.ts";
import type { Registry } from "../create-registry.ts";
import { createLogs } from "../observe/logs.ts";
import type { Logger } from "../observe/logger.ts";
import type { Logs, ServerLogs } from "../observe/logs.ts";
import type { Listening } from "../server/listen/listen.ts";

/** Logs on standard output, in the format of the settings. */
export function logsFor({ log: { level, formatter, fields, accesslog } }: Settings): Promise<ServerLogs> {
  return createLogs({ level, format: formatter, fields, requests: !accesslog.disabled });
}

/** Logs that have requests counted too, where the registry counts them. */
export function countedBy({ requests }: Pick<Registry, "requests">, logs: Logs): Logs {
  if (!requests) return logs;
  return {
    log: logs.log,
    access(each) {
      requests.record(each);
      logs.access?.(each); // looked up each time, because settings may switch it on and off
    },
  };
}

/** Stops listening and lets the running requests finish. */
export async function stopListening(listening: Listening, log: Logger): Promise<void> {
  const left = await listening.stop();
  if (left > 0) log.warn({ requests: left }, "some requests did not finish in time");
}
