/** Collection in the background of a server: one process at a time, in small steps, so that requests do not notice. */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { CollectionRules } from "../../metadata/metadata-store.ts";
import type { Logger } from "../../observe/logger.ts";
import type { Backend } from "../backend.ts";
import { collectDue, queueUntagged } from "./collector.ts";
import type { CollectionHooks, CollectionReport } from "./collector.ts";
import { QuietTime } from "./quiet-time.ts";
import { emptyTrash } from "./trash.ts";

export interface BackgroundOptions {
  readonly rules: CollectionRules;
  /** Milliseconds between two rounds. */
  readonly intervalMs: number;
  /** Whether anything but expired uploads and trash is collected. */
  readonly enabled: boolean;
}

const LEASE = "collection";
/** The lease outlives a round of ordinary length; a longer one renews it with each step. */
const LEASE_MS = 120_000;
/** Of each second at most so much goes into collection. */
const SHARE = 0.1;

/** Runs until `signal` says stop; resolves when the last step is done. What fails is logged and tried again. */
export async function collectInBackground(
  backend: Backend,
  options: BackgroundOptions,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  const { rules, intervalMs, enabled } = options;
  const { clock, metadata } = backend;
  const holder = randomUUID();
  const quiet = new QuietTime(clock, rules.leaseMs);
  let untaggedQueued = !rules.untagged;

  while (await pause(intervalMs, signal)) {
    if (quiet.hasJumped()) log.warn("the clock jumped forward: nothing is collected until what was promised is over");
    try {
      if (!(await metadata.takeLease(LEASE, holder, clock.now() + LEASE_MS))) continue; // another server does it
      if (!enabled || quiet.lasts) {
        report(log, { ...NOTHING, ...(await emptyTrash(backend)) });
        continue;
      }
      if (!untaggedQueued) await queueUntagged(backend);
      untaggedQueued = true;
      let worked = performance.now();
      const hooks: CollectionHooks = {
        now: () => quiet.now(),
        async onStep() {
          await metadata.takeLease(LEASE, holder, clock.now() + LEASE_MS);
          await sleep((performance.now() - worked) * (1 / SHARE - 1));
          worked = performance.now();
          return signal.aborted || quiet.hasJumped() ? "stop" : undefined;
        },
      };
      report(log, await collectDue(backend, rules, hooks));
    } catch (error) {
      if (!signal.aborted) log.error({ err: error }, "collection failed: it is tried again in the next round");
    }
  }
  await metadata.releaseLease(LEASE, holder).catch((error: unknown) => {
    log.error({ err: error }, "the lease on collection could not be given back: it ends by itself");
  });
}

const NOTHING = { manifests: 0, links: 0, blobs: 0, bytes: 0 };

function report(log: Logger, counts: CollectionReport): void {
  if (Object.values(counts).some((count) => count > 0)) log.info(counts, "removed what nothing needs any more");
}

/** False when it was time to stop. */
async function pause(milliseconds: number, signal: AbortSignal): Promise<boolean> {
  try {
    await sleep(milliseconds, undefined, { signal });
    return true;
  } catch {
    return false; // the only way a sleep fails is that it was ended
  }
}
