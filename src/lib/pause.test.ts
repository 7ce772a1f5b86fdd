import { expect, test } from "bun:test";
import { pause } from "./pause.ts";

test("a pause ends by itself, or says that it was ended", async () => {
  expect(await pause(1, new AbortController().signal)).toBe(true);
  expect(await pause(60_000, AbortSignal.abort())).toBe(false);
  const stopping = new AbortController();
  const paused = pause(60_000, stopping.signal);
  stopping.abort();
  expect(await paused).toBe(false);
});
