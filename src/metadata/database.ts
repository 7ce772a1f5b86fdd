/** What the operations on metadata work with: an engine, a clock and the rules of the registry. */
import type { Clock } from "../lib/clock.ts";
import type { ChangeRecorder } from "./changes.ts";
import type { SqlEngine } from "./sql.ts";

/** When collection may take something, in milliseconds. */
export interface CollectionRules {
  /** What a client was told is here is kept for so long after that. */
  readonly leaseMs: number;
  /** What lost its last reference is kept for so long after that. */
  readonly graceMs: number;
  /** A manifest whose tag moved away, and a referrer whose subject went, is kept for so long after that. */
  readonly undoMs: number;
  /** A manifest that was pushed is kept for so long, tagged or not. */
  readonly freshMs: number;
  /** Whether manifests go that no tag leads to. */
  readonly untagged: boolean;
}

/** The same, and how long tag histories are kept. */
export interface RetentionRules extends CollectionRules {
  /** What a tag pointed at before is kept for so many milliseconds after that, and for `undoMs` in any case … */
  readonly historyMs: number;
  /** … and so many times, the last ones; more when more ended in the last `undoMs`. */
  readonly historyEntries: number;
}

const HOUR_MS = 3_600_000;

export const DEFAULT_RULES: RetentionRules = {
  leaseMs: HOUR_MS,
  graceMs: HOUR_MS,
  undoMs: 168 * HOUR_MS,
  freshMs: 168 * HOUR_MS,
  untagged: false,
  historyMs: 365 * 24 * HOUR_MS,
  historyEntries: 1000,
};

/** How much may lie in the repository `prefix` and in all below it; `*` is the whole registry. */
export interface Quota {
  readonly prefix: string;
  /** Of blobs and manifests; what two repositories show counts twice. */
  readonly bytes?: number | undefined;
  readonly tags?: number | undefined;
  readonly repositories?: number | undefined;
}

/** How long things are kept for clients that may still come for them. */
export type Periods = Pick<CollectionRules, "leaseMs" | "graceMs" | "undoMs">;

export interface Database {
  readonly engine: SqlEngine;
  readonly clock: Clock;
  readonly periods: Periods;
  readonly quotas: readonly Quota[];
  /** Undefined where no changes are recorded. */
  readonly recorder: ChangeRecorder | undefined;
  /** Begins to count the quotas in the background that are not counted, unless that goes on. */
  countQuotas(): void;
}

/**
 * Returns when a blob that no manifest ever needs is to be collected: its lease, and the grace after it, are over then.
 */
export function leaseAfter({ periods }: Database, now: number): number {
  return now + periods.leaseMs + periods.graceMs;
}
