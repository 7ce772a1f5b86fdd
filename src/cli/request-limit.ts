/** How many requests the runtime sends at a time. */
import type { Settings } from "../config/schema.ts";

/** Bun sends 256, so that as many clients that stop reading from S3 would hold up all others. `bin/stowage` says the same. */
const HTTP_REQUESTS = "8192";
const VARIABLE = "BUN_CONFIG_MAX_HTTP_REQUESTS";

/**
 * The runtime reads the variable once, before the program runs. A start script sets it; an executable has none, and starts
 * itself again with the variable set, in the same process. Does nothing when it is set, and for settings with which the
 * server sends few requests.
 */
export function raiseRequestLimit({ storage, notifications }: Settings): void {
  if (storage.s3 === undefined && notifications.endpoints.length === 0) return;
  if (!Bun.isStandaloneExecutable || process.env[VARIABLE] !== undefined || !process.execve) return;
  const words = [process.argv0, ...process.argv.slice(2)];
  process.execve(process.execPath, words, { ...process.env, [VARIABLE]: HTTP_REQUESTS });
}
