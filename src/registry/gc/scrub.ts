/** Reads every blob again, slowly, over days: a bit that flipped in silence is found before a client needs the blob. */
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "../../observe/logger.ts";
import type { Metrics } from "../../observe/metrics.ts";
import type { Backend } from "../backend.ts";
import { repair } from "../repair.ts";
import { Lease } from "./lease.ts";

export interface ScrubOptions {
  /** How much is read each second, at most. */
  readonly bytesPerSecond: number;
  /** Milliseconds between the end of one pass and the beginning of the next. */
  readonly pauseMs: number;
}

/** What a blob of few bytes counts for: its row is read, and that is a page of the database. */
const LEAST_BYTES = 4096;
/** Pauses that are due are taken together, because timers are not more exact than a millisecond. */
const LEAST_PAUSE_MS = 10;

const LEASE_MS = 120_000;
/** A file that no record names for so long is unreferenced. */
const UNKNOWN_AFTER_MS = 86_400_000;

/** Runs until `signal` says stop. What is damaged is marked as missing, so that the next push heals it, and reported. */
export async function scrubInBackground(
  backend: Backend,
  options: ScrubOptions,
  { log, metrics }: { readonly log: Logger; readonly metrics: Metrics },
  signal: AbortSignal,
): Promise<void> {
  const { clock } = backend;
  const lease = new Lease(backend, "scrub", LEASE_MS);
  // Not always from the first digest on: a server that is often restarted would never come to the last ones.
  let after: string | undefined = `sha256:${randomBytes(4).toString("hex")}`;
  while (!signal.aborted) {
    try {
      await sleep(options.pauseMs, undefined, { signal });
      await using held = await lease.hold();
      if (!held) continue; // another server does it
      const ending = AbortSignal.any([signal, held.lost]);
      const started = clock.now();
      let found = 0;
      let pauseMs = 0;
      const findings = repair(backend, {
        deep: true,
        unknownAfterMs: UNKNOWN_AFTER_MS,
        ...(after === undefined ? {} : { after }),
        async onRead(bytes) {
          metrics.scrubbedBytes.add(bytes);
          pauseMs += (Math.max(bytes, LEAST_BYTES) / options.bytesPerSecond) * 1000;
          if (pauseMs < LEAST_PAUSE_MS) return;
          await sleep(pauseMs, undefined, { signal: ending });
          pauseMs = 0;
        },
        onStep: () => ending.throwIfAborted(),
      });
      for await (const finding of findings) {
        found++;
        metrics.scrubFindings.add(1, finding.kind);
        log.error({ finding }, explanationOf(finding.kind));
      }
      after = undefined;
      await backend.metadata.overview.recordRun("scrub");
      metrics.lastScrub.set(clock.now() / 1000);
      log.info({ found, seconds: Math.round((clock.now() - started) / 1000) }, "scrub: every blob was read");
    } catch (error) {
      if (!signal.aborted) log.error({ err: error }, "scrub failed: it is retried after its pause");
    }
  }
}

function explanationOf(kind: string): string {
  return kind === "unknown file"
    ? "scrub: deleted a file that is not in the database"
    : "scrub: corrupt blobs are missing until they are pushed again";
}
