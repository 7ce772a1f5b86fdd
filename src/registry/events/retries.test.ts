/** Delays between tries. */
import { expect, test } from "bun:test";
import { LONGEST_BACKOFF_MS, delayAfter } from "./retries.ts";

const ENDPOINT = { threshold: 3, backoffMs: 1000 };

test("delays are short below the threshold, then backoff, then twice as long each time up to a minute", () => {
  const delays = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 5000].map((failures) => delayAfter(failures, ENDPOINT, 1));
  expect(delays).toEqual([50, 100, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, LONGEST_BACKOFF_MS]);
});

test("half of a delay is by chance", () => {
  expect([0, 0.5, 1].map((random) => delayAfter(3, ENDPOINT, random))).toEqual([500, 750, 1000]);
});

test("a backoff that is longer than a minute is kept", () => {
  expect(delayAfter(3, { threshold: 3, backoffMs: 300_000 }, 1)).toBe(300_000);
});
