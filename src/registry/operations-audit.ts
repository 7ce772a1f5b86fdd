/** Writes to the audit what operators changed by commands, which run in processes of their own. */
import { escapeControls } from "../lib/control-characters.ts";
import type { Logger } from "../observe/logger.ts";
import type { Backend } from "./backend.ts";
import { afterCommits } from "./commit-watch.ts";
import { Lease } from "./gc/lease.ts";

const LEASE_MS = 30_000;
/** Operations that are written in one step. */
const STEP = 100;

/** Runs until `signal` says stop; of all processes one at a time writes. A line may come twice when its server dies. */
export async function auditOperations(backend: Backend, log: Logger, signal: AbortSignal): Promise<void> {
  const lease = new Lease(backend, "audit of operations", LEASE_MS);
  const onError = (error: unknown): void =>
    log.error({ err: error }, "operations were not written to the audit: retrying");
  await afterCommits(backend, { signal, onError }, async () => {
    await writeWaiting(backend, lease, log);
    return "done";
  });
}

async function writeWaiting({ metadata }: Backend, lease: Lease, log: Logger): Promise<void> {
  if ((await metadata.operations.waiting(1)).length === 0) return;
  await using held = await lease.hold();
  if (!held) return; // another server does it
  for (;;) {
    const operations = await metadata.operations.waiting(STEP);
    const last = operations.at(-1);
    if (!last || !(await held.confirm())) return;
    for (const { at, who, command } of operations) {
      const audit = { action: "operate", time: new Date(at), who, command, rule: "who may write the data folder" };
      log.info({ audit }, escapeControls(`${who} ran stowage ${command}`));
    }
    await metadata.operations.forget(last.id);
  }
}
