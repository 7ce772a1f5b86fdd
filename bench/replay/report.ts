/** What replays showed, as tables in Markdown. */
import type { PeerName } from "../peers/peer.ts";
import { short } from "../table.ts";
import { LIMITS } from "./outcome.ts";
import type { Outcome } from "./outcome.ts";

export interface Attempt extends Outcome {
  readonly isSustained: boolean;
  /** Of the server, for each request. */
  readonly cpuMsPerRequest: number;
  /** Of one core, what the player used. */
  readonly playerCpuShare: number;
  /** Of the server, at the end. */
  readonly memoryMb: number;
}

export interface PeerAttempt {
  readonly peer: PeerName;
  readonly round: number;
  readonly attempt: Attempt;
}

export const ATTEMPT_HEAD = [
  "| peer | speed | requests/s | manifest GET p99 ms | errors | server CPU | player late p99 ms | player CPU | kept up |",
  "|---|--:|--:|--:|--:|--:|--:|--:|---|",
].join("\n");

export function attemptLine(peer: PeerName, attempt: Attempt): string {
  const { speed, requests, seconds, errors, reasons, lateP99Ms, cpuMsPerRequest, playerCpuShare } = attempt;
  const figures = [
    peer,
    `${short(speed)}×`,
    short(requests / seconds),
    short(attempt.ops.find(({ op }) => op === "get-manifest")?.p99 ?? NaN),
    errors,
    `${short(cpuMsPerRequest)} ms`,
    short(lateP99Ms),
    `${short(playerCpuShare * 100)} %`,
    verdictOf(attempt),
  ];
  const why = Object.entries(reasons).map(([reason, count]) => `\n    ${count} × ${reason}`);
  return `| ${figures.join(" | ")} |${why.slice(0, MOST_REASONS).join("")}`;
}

const MOST_REASONS = 5;

/** A player that is later than that has itself used up half of what a registry may take. */
const LATE_MS = LIMITS.manifestP99Ms / 2;

function verdictOf(attempt: Attempt): string {
  if (attempt.isSustained) return "yes";
  if (isPlayerLate(attempt)) return "no, the player was late";
  return attempt.isBrokenOff ? "no, broken off" : "no";
}

function isPlayerLate({ lateP99Ms }: Attempt): boolean {
  return lateP99Ms > LATE_MS;
}

/**
 * For each peer the highest speed that it sustained, the median of the rounds, and latencies at it. It may have sustained
 * more (≥) where the player was late whenever it was faster.
 */
export function summaryOf(attempts: readonly PeerAttempt[], requestsPerSecond: number): string {
  const heads = ["| peer | speed | lowest–highest | requests/s |", "|---|--:|--:|--:|"];
  const details = [
    "| peer | operation | count | errors | p50 ms | p90 ms | p99 ms | p99.9 ms |",
    "|---|---|--:|--:|--:|--:|--:|--:|",
  ];
  for (const [peer, all] of Map.groupBy(attempts, (one) => one.peer)) {
    const best = bestOfRounds(all);
    const middle = best[Math.floor(best.length / 2)];
    if (!middle) {
      heads.push(`| ${peer} | none | | |`);
      continue;
    }
    const failed = all.map(({ attempt }) => attempt).filter((one) => !one.isSustained && one.speed > middle.speed);
    const atLeast = failed.every(isPlayerLate) ? "≥ " : "";
    const range = [best[0], best.at(-1)].map((one) => short(one?.speed ?? 0)).join("–");
    const perSecond = short(middle.speed * requestsPerSecond);
    heads.push(`| ${peer} | **${atLeast}${short(middle.speed)}×** | ${range} | ${perSecond} |`);
    for (const { op, count, errors, p50, p90, p99, p999 } of middle.ops) {
      details.push(`| ${peer} | ${op} | ${count} | ${errors} | ${[p50, p90, p99, p999].map(short).join(" | ")} |`);
    }
  }
  return [...heads, "", ...details].join("\n");
}

/** The fastest that was sustained in each round, slowest first; undefined for a round without one. */
function bestOfRounds(all: readonly PeerAttempt[]): readonly (Attempt | undefined)[] {
  const rounds = Map.groupBy(all, ({ round }) => round);
  const best = [...rounds.values()].map((round) => {
    const sustained = round.map(({ attempt }) => attempt).filter(({ isSustained }) => isSustained);
    return sustained.toSorted((a, b) => b.speed - a.speed)[0];
  });
  // Undefined by itself would be sorted to the end.
  return best
    .map((attempt) => ({ attempt, speed: attempt?.speed ?? 0 }))
    .toSorted((a, b) => a.speed - b.speed)
    .map(({ attempt }) => attempt);
}
