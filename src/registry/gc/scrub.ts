/** Reads every blob again, slowly, over days: a bit that flipped in silence is found before somebody needs the blob. */
import { randomBytes, randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "../../observe/logger.ts";
import type { Backend } from "../backend.ts";
import { check } from "../check.ts";

export interface ScrubOptions {
  /** How much is read each second, at most. */
  readonly bytesPerSecond: number;
  /** Milliseconds between the end of one pass and the beginning of the next. */
  readonly pauseMs: number;
}

const LEASE = "scrub";
const LEASE_MS = 120_000;
/** A file that no record names for so long belongs to nobody. */
const UNKNOWN_AFTER_MS = 86_400_000;

/** Runs until `signal` says stop. What is damaged is marked as missing, so that the next push heals it, and logged. */
export async function scrubInBackground(
  backend: Backend,
  options: ScrubOptions,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  const { metadata, clock } = backend;
  const holder = randomUUID();
  const takeLease = (): Promise<boolean> => metadata.takeLease(LEASE, holder, clock.now() + LEASE_MS);
  // Not always from the first digest on: a server that is often restarted would never come to the last ones.
  let after: string | undefined = `sha256:${randomBytes(4).toString("hex")}`;
  try {
    for (;;) {
      await sleep(options.pauseMs, undefined, { signal });
      if (!(await takeLease())) continue;
      const started = clock.now();
      let renewAt = started + LEASE_MS / 4;
      let found = 0;
      const findings = check(backend, {
        deep: true,
        repair: true,
        unknownAfterMs: UNKNOWN_AFTER_MS,
        ...(after === undefined ? {} : { after }),
        async onRead(bytes) {
          await sleep((bytes / options.bytesPerSecond) * 1000, undefined, { signal });
          if (clock.now() < renewAt) return;
          renewAt = clock.now() + LEASE_MS / 4;
          await takeLease();
        },
      });
      for await (const finding of findings) {
        found++;
        log.error({ finding }, "scrub: damaged bytes are missing from now on: push them again");
      }
      after = undefined;
      log.info({ found, seconds: Math.round((clock.now() - started) / 1000) }, "scrub: every blob was read");
    }
  } catch (error) {
    if (!signal.aborted) log.error({ err: error }, "scrub ended: it begins again with the next start");
  }
  await metadata.releaseLease(LEASE, holder).catch(() => undefined); // it ends by itself
}
