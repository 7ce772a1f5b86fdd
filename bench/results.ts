/** What a run found out, as it is written to a file. */
import type { PeerName } from "./peers/peer.ts";
import type { Setting } from "./setting.ts";

/** What is counted: operations (and CPU for each), bytes (and CPU for a GiB), or the time of a start. */
export type Unit = "operation" | "byte" | "start";

/** One peer in one round. */
export interface Sample {
  /** Operations, or MB, in a second; the milliseconds of a start. */
  readonly value: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
  /** Of the server: µs for each operation, ms for each GiB, or ms of a start. */
  readonly cpu: number;
  /** Of the server, at the end. */
  readonly memoryMb: number;
}

export interface RowResult {
  readonly name: string;
  readonly unit: Unit;
  /** Samples in the order of the rounds, or why there are none. */
  readonly peers: Readonly<Partial<Record<PeerName, readonly Sample[] | string>>>;
}

export interface Results extends Setting {
  readonly rounds: number;
  readonly seconds: number;
  readonly rows: readonly RowResult[];
}

/** The median of each figure by itself. */
export function medianOf(samples: readonly Sample[]): Sample {
  const of = (figure: keyof Sample): number => {
    const sorted = samples.map((sample) => sample[figure]).toSorted((a, b) => a - b);
    return sorted[Math.floor(sorted.length / 2)] ?? NaN;
  };
  return {
    value: of("value"),
    p50Ms: of("p50Ms"),
    p90Ms: of("p90Ms"),
    p99Ms: of("p99Ms"),
    cpu: of("cpu"),
    memoryMb: of("memoryMb"),
  };
}
