import { describe, expect, test } from "bun:test";
import { isSustained, outcomeOf } from "./outcome.ts";
import type { Played } from "./player.ts";
import { findSustained } from "./saturation.ts";

const OPTIONS = { first: 32, bisections: 2, lowest: 1, highest: 8192 };

/** Looks for the limit of a registry that sustains everything up to it, and tells what was tried. */
async function search(limit: number) {
  const tried: number[] = [];
  const found = await findSustained((speed) => {
    tried.push(speed);
    return Promise.resolve(speed <= limit);
  }, OPTIONS);
  return { found, tried };
}

describe("the search for the highest speed", () => {
  test("doubles, and bisects twice; what fails is tried again", async () => {
    expect(await search(170)).toEqual({ found: 160, tried: [32, 64, 128, 256, 256, 192, 192, 160] });
    expect((await search(255)).found).toBe(224);
  });

  test("halves when it began too fast", async () => {
    expect(await search(9)).toEqual({ found: 8, tried: [32, 32, 16, 16, 8, 12, 12, 10, 10] });
  });

  test("ends where there is nothing slower or faster to try", async () => {
    expect((await search(0.5)).found).toBeUndefined();
    expect((await search(1e6)).found).toBe(8192);
  });

  test("forgives one failure", async () => {
    let failures = 0;
    const found = await findSustained((speed) => Promise.resolve(speed <= 40 || failures++ === 1), OPTIONS);
    expect(found).toBeGreaterThan(40);
  });
});

const played = (count: number, latencyMs: number, error?: string): Played[] =>
  Array.from({ length: count }, () => ({ op: "get-manifest", latencyMs, lateMs: 0, error }));

const outcome = (all: readonly Played[], isBrokenOff = false) =>
  outcomeOf(8, { played: all, seconds: 1, verified: 0, isBrokenOff });

describe("an outcome", () => {
  test("tells percentiles of each operation by itself, and of what succeeded alone", () => {
    const hundred = Array.from({ length: 1000 }, (_, at): Played[] => played(1, at)).flat();
    const pings = played(10, 5).map((each): Played => ({ ...each, op: "ping" }));
    const { ops, errors, reasons } = outcome([...hundred.toReversed(), ...pings, ...played(3, 1e6, "no")]);
    expect(ops).toEqual([
      { op: "ping", count: 10, errors: 0, p50: 5, p90: 5, p99: 5, p999: 5 },
      { op: "get-manifest", count: 1003, errors: 3, p50: 500, p90: 900, p99: 990, p999: 999 },
    ]);
    expect(errors).toBe(3);
    expect(reasons).toEqual({ "get-manifest: no": 3 });
  });

  test("counts an upload as three requests", () => {
    const uploads = played(5, 1).map((each): Played => ({ ...each, op: "upload" }));
    expect(outcome(uploads).requests).toBe(15);
  });

  test("is good while the manifests are fast, errors are few, and all was answered", () => {
    expect(isSustained(outcome([...played(991, 100), ...played(9, 500)]))).toBe(true);
    expect(isSustained(outcome([...played(989, 100), ...played(11, 101)]))).toBe(false);
    expect(isSustained(outcome([...played(999, 1), ...played(1, 1, "no")]))).toBe(true);
    expect(isSustained(outcome([...played(998, 1), ...played(2, 1, "no")]))).toBe(false);
    expect(isSustained(outcome(played(100, 1), true))).toBe(false);
    expect(isSustained(outcome([]))).toBe(false);
  });
});
