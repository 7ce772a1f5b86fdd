import { expect, test } from "bun:test";
import { summaryOf } from "./report.ts";
import type { PeerAttempt } from "./report.ts";

const attempt = (round: number, speed: number, isSustained: boolean, lateP99Ms = 1): PeerAttempt => ({
  peer: "stowage",
  round,
  attempt: {
    speed,
    seconds: 1,
    requests: 10,
    errors: 0,
    reasons: {},
    verified: 0,
    isBrokenOff: false,
    lateP99Ms,
    ops: [{ op: "get-manifest", count: speed, errors: 0, p50: 1, p90: 2, p99: 3, p999: 4 }],
    isSustained,
    cpuMsPerRequest: 1,
    playerCpuShare: 0.5,
    memoryMb: 50,
  },
});

const THREE_ROUNDS = [
  attempt(0, 32, true),
  attempt(0, 64, true),
  attempt(0, 128, false),
  attempt(1, 32, false),
  attempt(2, 32, true),
];

test("the summary shows the median of the rounds, what they lie between, and latencies at that speed", () => {
  const lines = summaryOf(THREE_ROUNDS, 6).split("\n");
  expect(lines).toContain("| stowage | **32×** | 0–64 | 192 |");
  expect(lines).toContain("| stowage | get-manifest | 32 | 0 | 1 | 2 | 3 | 4 |");
});

test("a registry may be faster than what a player that was late can show", () => {
  expect(summaryOf([attempt(0, 32, true), attempt(0, 64, false, 80)], 6)).toContain("**≥ 32×**");
  expect(summaryOf([attempt(0, 32, true), attempt(0, 64, false)], 6)).toContain("**32×**");
});

test("a registry that sustained nothing has no speed", () => {
  expect(summaryOf([attempt(0, 1, false)], 6)).toContain("| stowage | none |");
});
