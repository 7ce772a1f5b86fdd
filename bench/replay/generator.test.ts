import { describe, expect, test } from "bun:test";
import { generateTrace } from "./generator.ts";
import { MIXES } from "./mixes.ts";
import type { Mix } from "./mixes.ts";
import { OPS, parseTrace, printTrace, requestsIn } from "./trace.ts";
import type { Op, TraceLine } from "./trace.ts";

/** Of all requests, in a hundred. */
function shareOf(op: Op, lines: readonly TraceLine[]): number {
  return (requestsIn(lines.filter((line) => line.op === op)) / requestsIn(lines)) * 100;
}

function expectShares({ shares }: Mix, lines: readonly TraceLine[]): void {
  for (const op of OPS) expect(Math.abs(shareOf(op, lines) - shares[op]), op).toBeLessThan(1.5);
}

/** How often each was asked for, most popular first. */
function countsOf(op: Op, lines: readonly TraceLine[]): readonly number[] {
  const counts = new Map<string, number>();
  for (const line of lines) {
    const uri = `${line.repo} ${line.ref.replace("@", "")}`;
    if (line.op === op) counts.set(uri, (counts.get(uri) ?? 0) + 1);
  }
  return [...counts.values()].toSorted((a, b) => b - a);
}

const traceOf = (seed: number) => generateTrace({ mix: MIXES.ibm, requests: 2000, seed });

const sum = (numbers: readonly number[]): number => numbers.reduce((all, each) => all + each, 0);

const shareOfTopHundredth = (counts: readonly number[]): number =>
  sum(counts.slice(0, counts.length / 100)) / sum(counts);

describe("a generated trace", () => {
  test("is the same for the same seed, and another for another", () => {
    expect(traceOf(7)).toEqual(traceOf(7));
    expect(traceOf(7)).not.toEqual(traceOf(8));
  });

  test("goes through a file", () => {
    const lines = generateTrace({ mix: MIXES.modern, requests: 500, seed: 1 });
    expect(parseTrace(printTrace(lines))).toEqual(lines);
  });

  test("has times that go up, at the average rate of the registry that was counted", () => {
    const lines = generateTrace({ mix: MIXES.ibm, requests: 20_000, seed: 1 });
    expect(lines.every(({ t_ms }, at) => at === 0 || t_ms >= lines[at - 1]!.t_ms)).toBe(true);
    expect(requestsIn(lines) / (lines.at(-1)!.t_ms / 1000)).toBeCloseTo(6.3, 0);
  });

  test("has the shares of the modern mix", () => {
    expectShares(MIXES.modern, generateTrace({ mix: MIXES.modern, requests: 40_000, seed: 3 }));
  });

  // About as many requests as were counted: popularity shows in many only.
  test("has the shares, the sizes and the popularity that were counted", () => {
    const lines = generateTrace({ mix: MIXES.ibm, requests: 700_000, seed: 1 });
    expectShares(MIXES.ibm, lines);

    const pulled = lines.filter(({ op }) => op === "get-blob");
    const below = (bytes: number): number => pulled.filter(({ size }) => size < bytes).length / pulled.length;
    expect(below(1024)).toBeCloseTo(0.24, 1);
    expect(below(1e6)).toBeCloseTo(0.66, 1);
    expect(below(10e6)).toBeCloseTo(0.805, 1);

    const [manifests, blobs] = [countsOf("get-manifest", lines), countsOf("get-blob", lines)];
    expect(Math.abs(shareOfTopHundredth(manifests) - 0.848)).toBeLessThan(0.05);
    expect(Math.abs(shareOfTopHundredth(blobs) - 0.429)).toBeLessThan(0.1);
    expect(Math.abs(blobs.filter((count) => count === 1).length / blobs.length - 0.813)).toBeLessThan(0.03);
    const digests = new Set(pulled.map(({ ref }) => ref));
    expect(Math.abs(digests.size / blobs.length - 0.75)).toBeLessThan(0.03);
  }, 30_000);
});

test("what is no trace is refused with the number of its line", () => {
  const [good] = printTrace(generateTrace({ mix: MIXES.ibm, requests: 1, seed: 1 })).split("\n");
  expect(() => parseTrace(`${good}\n${good?.replace(/"op":"[^"]*"/, `"op":"dance"`)}`)).toThrow("line 2");
});
