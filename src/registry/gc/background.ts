/** Collection in the background of a server: one process at a time, in small steps, so that requests do not notice. */
import { pause } from "../../lib/pause.ts";
import type { CollectionRules } from "../../metadata/database.ts";
import type { Logger } from "../../observe/logger.ts";
import type { Metrics } from "../../observe/metrics.ts";
import type { Backend } from "../backend.ts";
import { collectDue, collectTrash, queueUntagged } from "./collector.ts";
import type { CollectionHooks, CollectionReport } from "./collector.ts";
import { Lease } from "./lease.ts";
import { HistoryPruning } from "./tag-histories.ts";
import { CollectionHoldoff } from "./collection-holdoff.ts";

export interface BackgroundOptions {
  readonly rules: CollectionRules;
  /** Milliseconds between two rounds. */
  readonly intervalMs: number;
  /** Whether anything but expired uploads and trash is collected. */
  readonly enabled: boolean;
  /** Whether references may be missing from the database, because a tree is being adopted: then no more is collected either. */
  readonly isAdopting?: () => Promise<boolean>;
}

/** The first round comes soon after a start: it puts away what a process left that died. */
const FIRST_ROUND_MS = 1000;
/** Should the server die in the midst of a round, another one goes on after so long. */
const LEASE_MS = 120_000;

/** Runs until `signal` says stop; resolves when the last step is done. What fails is logged and tried again. */
export async function collectInBackground(
  backend: Backend,
  options: BackgroundOptions,
  { log, metrics }: { readonly log: Logger; readonly metrics: Metrics },
  signal: AbortSignal,
): Promise<void> {
  const { rules, intervalMs, enabled, isAdopting = () => Promise.resolve(false) } = options;
  const { clock } = backend;
  const lease = new Lease(backend, "collection", LEASE_MS);
  const holdoff = new CollectionHoldoff(clock, rules.leaseMs);
  const histories = new HistoryPruning(backend);
  let untaggedQueued = !rules.untagged;

  for (let waitMs = Math.min(FIRST_ROUND_MS, intervalMs); await pause(waitMs, signal); waitMs = intervalMs) {
    if (holdoff.hasJumped()) log.warn("the clock jumped forward: garbage collection pauses for one lease");
    try {
      await using held = await lease.hold();
      if (!held) continue; // another server does it
      const ending = AbortSignal.any([signal, held.lost]);
      const hooks: CollectionHooks = {
        now: () => holdoff.now(),
        signal: ending,
        onStep: () => (holdoff.hasJumped() ? "stop" : undefined),
      };
      if (!enabled || holdoff.lasts || (await isAdopting())) {
        report(await collectTrash(backend, hooks), log, metrics);
        metrics.lastCollection.set(clock.now() / 1000);
        continue;
      }
      if (!untaggedQueued) untaggedQueued = await queueUntagged(backend, ending);
      if (ending.aborted) continue;
      report(await collectDue(backend, rules, hooks), log, metrics);
      const historyEntries = await histories.round(holdoff.now(), ending);
      if (historyEntries > 0) log.info({ historyEntries }, "old entries of tag histories were deleted");
      metrics.lastCollection.set(clock.now() / 1000);
    } catch (error) {
      if (signal.aborted) continue;
      metrics.failedCollections.add(1);
      log.error({ err: error }, "garbage collection failed: it is retried in the next round");
    }
  }
}

function report(counts: CollectionReport, log: Logger, metrics: Metrics): void {
  const { bytes, manifests, links, blobs, uploads, files } = counts;
  for (const [kind, count] of Object.entries({
    manifest: manifests,
    link: links,
    blob: blobs,
    upload: uploads,
    file: files,
  })) {
    metrics.collected.add(count, kind);
  }
  metrics.collectedBytes.add(bytes);
  if (Object.values(counts).some((count) => count > 0)) log.info(counts, "garbage collection: deleted");
}
