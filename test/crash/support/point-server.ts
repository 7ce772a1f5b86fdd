/**
 * A server that dies at the POINT-th call of its drivers that changes something and whose
 * name begins with CALLS, with all its process group:
 *
 *   tools/bun test/crash/support/point-server.ts FOLDER INLINE_BYTES CALLS POINT before|after
 *
 * Prints where it listens; told `collect` on standard input it collects and says `collected`. Says
 * `dies before part.commit`, or the like, before it does.
 */
import { createInterface } from "node:readline";
import { READS } from "../../faults/support/watched-drivers.ts";
import type { Watcher } from "../../faults/support/watched-drivers.ts";
import { openWatchedRegistry } from "../../faults/support/watched-registry.ts";

const [folder = "", inlineBytes = "", calls = "", point = "", when = ""] = process.argv.slice(2);

let made = 0;

const watch: Watcher = async (call, make) => {
  if (READS.has(call) || !call.startsWith(calls)) return await make();
  const isPoint = ++made === Number(point);
  if (isPoint) process.stdout.write(`dies ${when} ${call}\n`);
  if (isPoint && when === "before") die();
  const result = await make();
  if (isPoint) die();
  return result;
};

function die(): void {
  process.kill(-process.pid, "SIGKILL");
}

const registry = await openWatchedRegistry(folder, { inlineBytes: Number(inlineBytes), watch });
process.stdout.write(`Listening on ${registry.url}\n`);
for await (const line of createInterface(process.stdin)) {
  if (line !== "collect") continue;
  await registry.collect();
  process.stdout.write("collected\n");
}
die(); // the process that started it is gone
