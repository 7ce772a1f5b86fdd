import { describe, expect, test } from "bun:test";
import { RENEWAL_BACKOFF, START_BACKOFF, nextTryAt } from "./backoff.ts";
import type { Backoff } from "./backoff.ts";

const MINUTE_MS = 60_000;

function delaysOf(backoff: Backoff): readonly number[] {
  return [1, 2, 3, 6, 7, 1000].map((count) => nextTryAt({ count, at: 0, reason: "" }, backoff) / MINUTE_MS);
}

describe("the pause after orders that failed", () => {
  test("grows from an hour to a day while there is something to serve with", () => {
    expect(delaysOf(RENEWAL_BACKOFF)).toEqual([60, 120, 240, 1440, 1440, 1440]);
  });

  test("grows from a minute to an hour while there is nothing", () => {
    expect(delaysOf(START_BACKOFF)).toEqual([1, 2, 4, 32, 60, 60]);
  });
});
