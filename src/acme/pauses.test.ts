import { describe, expect, test } from "bun:test";
import { RENEWAL_PAUSES, START_PAUSES, nextTryAt } from "./pauses.ts";
import type { Pauses } from "./pauses.ts";

const MINUTE_MS = 60_000;

function pausesOf(pauses: Pauses): readonly number[] {
  return [1, 2, 3, 6, 7, 1000].map((count) => nextTryAt({ count, at: 0, reason: "" }, pauses) / MINUTE_MS);
}

describe("the pause after orders that failed", () => {
  test("grows from an hour to a day while there is something to serve with", () => {
    expect(pausesOf(RENEWAL_PAUSES)).toEqual([60, 120, 240, 1440, 1440, 1440]);
  });

  test("grows from a minute to an hour while there is nothing", () => {
    expect(pausesOf(START_PAUSES)).toEqual([1, 2, 4, 32, 60, 60]);
  });
});
