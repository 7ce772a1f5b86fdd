/** Writes to the log what operators changed by commands, which run in processes of their own. */
import { escapeControls } from "../lib/control-characters.ts";
import type { Logger } from "../observe/logger.ts";
import type { Backend } from "./backend.ts";
import { afterCommits } from "./commit-watch.ts";
import { Lease } from "./gc/lease.ts";

const LEASE_MS = 30_000;
/** Commands that are written in one step. */
const STEP = 100;

export interface CommandAuditParts {
  readonly backend: Backend;
  readonly log: Logger;
  /** Whether what is logged stays in the audit table. */
  readonly keeps: boolean;
}

/** Runs until `signal` says stop; of all processes one at a time writes. A line may come twice when its server dies. */
export async function auditCommands(parts: CommandAuditParts, signal: AbortSignal): Promise<void> {
  const { backend, log } = parts;
  const lease = new Lease(backend, "audit of operations", LEASE_MS);
  const onError = (error: unknown): void =>
    log.error({ err: error }, "operations were not written to the audit: retrying");
  await afterCommits(backend, { signal, onError }, async () => {
    await writeUnlogged(parts, lease);
    return "done";
  });
}

async function writeUnlogged({ backend: { metadata }, log, keeps }: CommandAuditParts, lease: Lease): Promise<void> {
  if ((await metadata.audit.unlogged(1)).length === 0) return;
  await using held = await lease.hold();
  if (!held) return; // another server does it
  for (;;) {
    const records = await metadata.audit.unlogged(STEP);
    const last = records.at(-1);
    if (!last || !(await held.confirm())) return;
    for (const { at, who, action, command = "", rule } of records) {
      const audit = { action, time: new Date(at), who, command, rule };
      log.info({ audit }, escapeControls(`${who} ran stowage ${command}`));
    }
    await metadata.audit.logged(last.id, keeps);
  }
}
