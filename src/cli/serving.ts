/** What `stowage serve` and its workers share. */
import type { Settings } from "../config/schema.ts";
import type { Registry } from "../create-registry.ts";
import { createLogs } from "../observe/logger.ts";
import type { Logger, Logs, ServerLogs } from "../observe/logger.ts";
import type { Listening } from "../server/listen/listen.ts";

/** Logs on standard output, in the format of the settings. */
export function logsFor({ log: { level, formatter } }: Settings): Promise<ServerLogs> {
  return createLogs({ level, format: formatter === undefined || formatter === "text" ? formatter : "json" });
}

/** Logs that have requests counted too, where the registry counts them. */
export function countedBy({ requests }: Pick<Registry, "requests">, { log, access }: Logs): Logs {
  if (!requests || !access) return { log, access: access ?? (requests && ((each) => requests.record(each))) };
  return {
    log,
    access(each) {
      requests.record(each);
      access(each);
    },
  };
}

/** Stops listening and lets the running requests finish. */
export async function stopListening(listening: Listening, log: Logger): Promise<void> {
  const left = await listening.stop();
  if (left > 0) log.warn({ requests: left }, "some requests did not finish in time");
}
