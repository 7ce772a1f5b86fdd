/** What a load measured from outside. */
import { OCI_INDEX, OCI_MANIFEST } from "../../test/support/content.ts";

/** What clients say in `Accept`; without it some registries hide images. */
export const ACCEPT = `${OCI_MANIFEST}, ${OCI_INDEX}`;

export interface Load {
  readonly operations: number;
  readonly seconds: number;
  /** Bytes of bodies that went over the wire, where they are what counts. */
  readonly bytes: number;
  readonly latencyMs: Latency;
}

export interface Latency {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
}

/** How long each of some operations took; not a number when there was none. */
export function latencyOf(millis: readonly number[]): Latency {
  const sorted = millis.toSorted((a, b) => a - b);
  return { p50: percentile(sorted, 0.5), p90: percentile(sorted, 0.9), p99: percentile(sorted, 0.99) };
}

/** What this share of the values is below; they go up. */
export function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}
