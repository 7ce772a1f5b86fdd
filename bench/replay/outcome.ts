/** What a replay at one speed showed, and whether the registry kept up. */
import { latencyOf, percentile } from "../loads/load.ts";
import type { Latency } from "../loads/load.ts";
import type { Played, Playing } from "./player.ts";
import { OPS, requestsIn } from "./trace.ts";
import type { Op } from "./trace.ts";

export interface OpOutcome extends Latency {
  readonly op: Op;
  readonly count: number;
  readonly errors: number;
  /** Milliseconds, as the others. */
  readonly p999: number;
}

export interface Outcome {
  readonly speed: number;
  readonly seconds: number;
  readonly requests: number;
  readonly errors: number;
  /** Why some failed, and how many. */
  readonly reasons: Readonly<Record<string, number>>;
  readonly verified: number;
  readonly isBrokenOff: boolean;
  /** How late the player itself was. */
  readonly lateP99Ms: number;
  readonly ops: readonly OpOutcome[];
}

/** What a registry must keep to. */
export const LIMITS = { manifestP99Ms: 100, errorShare: 0.001 };

export function outcomeOf(speed: number, { played, seconds, verified, isBrokenOff }: Playing): Outcome {
  const failed = played.filter(({ error }) => error !== undefined);
  const reasons = [...Map.groupBy(failed, ({ op, error }) => `${op}: ${error}`)];
  const late = played.map(({ lateMs }) => lateMs).toSorted((a, b) => a - b);
  const byOp = Map.groupBy(played, ({ op }) => op);
  return {
    speed,
    seconds,
    requests: requestsIn(played),
    errors: failed.length,
    reasons: Object.fromEntries(reasons.map(([reason, all]) => [reason, all.length])),
    verified,
    isBrokenOff,
    lateP99Ms: percentile(late, 0.99),
    ops: OPS.flatMap((op) => {
      const all = byOp.get(op);
      return all ? [opOutcome(op, all)] : [];
    }),
  };
}

/** Percentiles are those of what succeeded. */
function opOutcome(op: Op, all: readonly Played[]): OpOutcome {
  const millis = all.filter(({ error }) => error === undefined).map(({ latencyMs }) => latencyMs);
  const sorted = millis.toSorted((a, b) => a - b);
  return {
    op,
    count: all.length,
    errors: all.length - millis.length,
    ...latencyOf(sorted),
    p999: percentile(sorted, 0.999),
  };
}

/** Whether 99 of 100 GETs of manifests took at most 100 ms, with at most one error in a thousand, and all was answered. */
export function isSustained({ errors, isBrokenOff, ops }: Outcome): boolean {
  const count = ops.reduce((sum, each) => sum + each.count, 0);
  const manifests = ops.find(({ op }) => op === "get-manifest");
  if (!manifests || isBrokenOff) return false;
  return manifests.p99 <= LIMITS.manifestP99Ms && errors <= count * LIMITS.errorShare;
}
