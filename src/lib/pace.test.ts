/** Steps of bulk work: how large they are, and how long the rests between them. */
import { afterEach, beforeEach, expect, spyOn, test } from "bun:test";
import type { Mock } from "bun:test";
import * as pauses from "./pause.ts";
import { Pace } from "./pace.ts";

let clock: Mock<typeof performance.now>;
let waiting: Mock<typeof pauses.pause>;
let nowMs = 0;
let rested: number[] = [];

beforeEach(() => {
  [nowMs, rested] = [0, []];
  clock = spyOn(performance, "now").mockImplementation(() => nowMs);
  waiting = spyOn(pauses, "pause").mockImplementation(async (milliseconds, signal) => {
    rested.push(milliseconds);
    return signal?.aborted !== true;
  });
});
afterEach(() => {
  clock.mockRestore();
  waiting.mockRestore();
});

/** A step in which each item takes so long. */
async function take(pace: Pace, perItemMs: number): Promise<number> {
  return await pace.step(async (size) => {
    nowMs += size * perItemMs;
    return size;
  });
}

test("steps grow to the largest while they are quick, and shrink to the smallest when they are not", async () => {
  const pace = new Pace({ least: 10, most: 100 });
  const sizes: number[] = [];
  for (let steps = 0; steps < 20; steps++) sizes.push(await take(pace, 0.001));
  expect(sizes[0]).toBe(10);
  expect(sizes.at(-1)).toBe(100);
  for (let steps = 0; steps < 10; steps++) await take(pace, 10);
  expect(await take(pace, 10)).toBe(10);
});

test("the size settles where a step takes its time", async () => {
  const pace = new Pace({ least: 1, most: 1000, stepMs: 10 });
  for (let steps = 0; steps < 50; steps++) await take(pace, 0.1);
  const size = await take(pace, 0.1);
  expect(size).toBeGreaterThan(75);
  expect(size).toBeLessThan(130);
});

test("a rest is as long as its step", async () => {
  const pace = new Pace({ least: 10, most: 10 });
  await take(pace, 0.7);
  expect(await pace.rest()).toBeTrue();
  expect(rested).toEqual([7]);
});

test("it is longer when something was committed meanwhile", async () => {
  let commits = 0;
  const pace = new Pace({ least: 10, most: 10, commits: () => commits });
  await take(pace, 0.7);
  await pace.rest();
  await take(pace, 0.7);
  commits++;
  await pace.rest();
  expect(rested).toEqual([7, 7, 28]);
});

test("the time that a step waits before it begins does not count", async () => {
  const pace = new Pace({ least: 10, most: 10 });
  await pace.step(async (_size, begun) => {
    nowMs += 500;
    begun();
    nowMs += 3;
  });
  await pace.rest();
  expect(rested).toEqual([3]);
});

test("a signal ends it", async () => {
  const pace = new Pace({ least: 1, most: 1, signal: AbortSignal.abort() });
  await take(pace, 1);
  expect(await pace.rest()).toBeFalse();
});

test("a step that throws counts too", async () => {
  const pace = new Pace();
  const failing = pace.step(async () => {
    nowMs += 4;
    throw new Error("the disk is full");
  });
  expect(await failing.catch(() => "failed")).toBe("failed");
  await pace.rest();
  expect(rested).toEqual([4]);
});

test("no rest is longer than a quarter of a second, however long the step took", async () => {
  const pace = new Pace({ least: 1, most: 1 });
  await take(pace, 30_000);
  await pace.rest();
  expect(rested).toEqual([250]);
});

test("pieces of work rest when they took as long as a step together", async () => {
  const pace = new Pace();
  for (let pieces = 0; pieces < 7; pieces++) {
    nowMs += 0.75;
    expect(await pace.restWhenDue()).toBeTrue();
  }
  expect(rested).toEqual([2, 2]);
});

/** Steps of two milliseconds, each with its rest; returns how long each rest was, 0 for one that was left out. */
async function restsOf(pace: Pace, steps: number): Promise<readonly number[]> {
  const rests: number[] = [];
  for (let step = 0; step < steps; step++) {
    const before = rested.length;
    await take(pace, 0.2);
    await pace.rest();
    rests.push(rested.slice(before).reduce((sum, restMs) => sum + restMs, 0));
  }
  return rests;
}

test("four of five rests are left out once nobody else has written for a quarter of a second", async () => {
  let commits = 0;
  const pace = new Pace({ least: 10, most: 10, commits: () => commits });
  expect(await restsOf(pace, 3)).toEqual([2, 2, 2]);
  nowMs += 250;
  expect(await restsOf(pace, 10)).toEqual([0, 0, 0, 0, 2, 0, 0, 0, 0, 2]);
  await take(pace, 0.2);
  commits++;
  await pace.rest();
  expect(rested.splice(-2)).toEqual([2, 8]);
  expect(await restsOf(pace, 2)).toEqual([2, 2]);
});

test("no rest is left out while others use the thread, or where it is not known whether others write", async () => {
  const pace = new Pace({ least: 10, most: 10, commits: () => 0 });
  await restsOf(pace, 1);
  nowMs += 250;
  const timers: ReturnType<typeof setImmediate>[] = [];
  const work = (): void => void timers.push(setImmediate(() => ((nowMs += 1), work())));
  work();
  expect(await restsOf(pace, 5)).toEqual([2, 2, 2, 2, 2]);
  for (const timer of timers) clearImmediate(timer);
  const unknown = new Pace({ least: 10, most: 10 });
  await restsOf(unknown, 1);
  nowMs += 250;
  expect(await restsOf(unknown, 5)).toEqual([2, 2, 2, 2, 2]);
});

test("a signal ends it also where a rest is left out", async () => {
  const ending = new AbortController();
  const pace = new Pace({ least: 10, most: 10, commits: () => 0, signal: ending.signal });
  await restsOf(pace, 1);
  nowMs += 250;
  await take(pace, 0.2);
  ending.abort();
  expect(await pace.rest()).toBeFalse();
});
