/** How long a database that another process keeps busy is waited for. */
import { afterEach, beforeEach, expect, spyOn, test } from "bun:test";
import type { Mock } from "bun:test";
import { BusyError } from "../../lib/busy-error.ts";
import * as pauses from "../../lib/pause.ts";
import { BusyRetry } from "./busy-retry.ts";

let mocks: Mock<(...values: never[]) => unknown>[];
let nowMs = 0;

beforeEach(() => {
  nowMs = 5000;
  mocks = [
    spyOn(performance, "now").mockImplementation(() => nowMs),
    spyOn(pauses, "pause").mockImplementation(async (milliseconds) => {
      nowMs += milliseconds;
      return true;
    }),
  ];
});
afterEach(() => {
  for (const mock of mocks) mock.mockRestore();
});

function busy(): never {
  throw Object.assign(new Error("database is locked"), { name: "SQLiteError", code: "SQLITE_BUSY" });
}

/** Seconds until the database is given up on, which is a pause later at most than some whole number of them. */
async function waited(retry: BusyRetry): Promise<number> {
  const before = nowMs;
  expect(await retry.run(busy).catch((error: unknown) => error)).toBeInstanceOf(BusyError);
  return Math.floor((nowMs - before) / 1000);
}

test("a locked database is given up on after 10 seconds", async () => {
  expect(await waited(new BusyRetry())).toBe(10);
});

test("the next writes to a database that stays locked wait a second each", async () => {
  const retry = new BusyRetry();
  await waited(retry);
  expect(await waited(retry)).toBe(1);
  expect(await waited(retry)).toBe(1);
});

test("a database that was free meanwhile is waited for as long as at first", async () => {
  const retry = new BusyRetry();
  await waited(retry);
  expect(await retry.run(() => "written")).toBe("written");
  expect(await waited(retry)).toBe(10);
});

test("so is a database that has not been written to for a while", async () => {
  const retry = new BusyRetry();
  await waited(retry);
  nowMs += 60_000;
  expect(await waited(retry)).toBe(10);
});

test("writes that wait at the same time are given up on at the same time", async () => {
  const retry = new BusyRetry();
  const before = nowMs;
  await Promise.all([1, 2, 3].map(async () => await retry.run(busy).catch(() => undefined)));
  expect(nowMs - before).toBeLessThan(10_000 + 3 * 11);
});

test("other errors are not retried", async () => {
  let attempts = 0;
  const failing = new BusyRetry().run(() => {
    attempts++;
    throw new Error("disk I/O error");
  });
  expect(await failing.catch((error: Error) => error.message)).toBe("disk I/O error");
  expect(attempts).toBe(1);
});
