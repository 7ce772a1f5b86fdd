/** How often something may happen. */
import { expect, test } from "bun:test";
import { TokenBuckets } from "./token-buckets.ts";

const clock = { ms: 1_700_000_000_000, now: () => clock.ms };

test("a name has a minute's worth at once, and then one after the other", () => {
  const buckets = new TokenBuckets(6, clock);
  for (let taken = 0; taken < 6; taken++) expect(buckets.take("a")).toBe(0);
  expect(buckets.take("a")).toBe(10_000);
  clock.ms += 4000;
  expect(buckets.take("a")).toBe(6000);
  clock.ms += 6000;
  expect([buckets.take("a"), buckets.take("a")]).toEqual([0, 10_000]);
});

test("names have nothing to do with each other", () => {
  const buckets = new TokenBuckets(1, clock);
  expect([buckets.take("a"), buckets.take("b"), buckets.take("a") > 0]).toEqual([0, 0, true]);
});

test("a bucket holds no more than a minute's worth, however long no request comes", () => {
  const buckets = new TokenBuckets(2, clock);
  buckets.take("a");
  clock.ms += 3_600_000;
  expect([buckets.take("a"), buckets.take("a"), buckets.take("a") > 0]).toEqual([0, 0, true]);
});

test("a clock that is set back takes nothing away, and gives nothing", () => {
  const buckets = new TokenBuckets(1, clock);
  expect(buckets.take("a")).toBe(0);
  clock.ms -= 3_600_000;
  expect(buckets.take("a")).toBe(60_000);
});

test("names are forgotten when there are too many, those that came longest ago first", () => {
  const buckets = new TokenBuckets(1, clock, 600); // bytes, and so two names
  for (const name of ["a", "b", "c"]) expect(buckets.take(name)).toBe(0);
  expect(buckets.take("c")).toBeGreaterThan(0);
  expect(buckets.take("b")).toBeGreaterThan(0);
  expect(buckets.take("a")).toBe(0);
});
