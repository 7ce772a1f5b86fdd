import { expect, test } from "bun:test";
import { array, assert, asyncProperty, boolean } from "fast-check";
import { silentLogger } from "../observe/logger.ts";
import { ReadinessWatch } from "./readiness.ts";

/** A watch whose checks end as they are told, one after the other. */
function watched(): {
  readonly watch: ReadinessWatch;
  /** Resolves when the next check has ended so. */
  readonly next: (succeeds: boolean) => Promise<void>;
} {
  const waiting: ((succeeds: boolean) => void)[] = [];
  let more = Promise.withResolvers<void>();
  const check = async (): Promise<void> => {
    const succeeds = await new Promise<boolean>((resolve) => {
      waiting.push(resolve);
      more.resolve();
    });
    if (!succeeds) throw new Error("a check failed");
  };
  const next = async (succeeds: boolean): Promise<void> => {
    while (waiting.length === 0) {
      await more.promise;
      more = Promise.withResolvers();
    }
    waiting.shift()?.(succeeds);
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { watch: new ReadinessWatch({ check, log: silentLogger(), intervalMs: 0 }), next };
}

/** Asks, and lets the check that it makes end so. */
async function asked({ watch, next }: ReturnType<typeof watched>, succeeds: boolean): Promise<string> {
  const answer = watch.ask();
  await next(succeeds);
  return await answer;
}

test("the first check decides alone", async () => {
  const [good, bad] = [watched(), watched()];
  using _watches = { [Symbol.dispose]: () => [good, bad].forEach(({ watch }) => watch[Symbol.dispose]()) };
  expect(await asked(good, true)).toBe("ready");
  expect(await asked(bad, false)).toBe("not ready");
});

test("a server that was ready is not after three failures in a row, and is again after two successes in a row", async () => {
  const subject = watched();
  const { watch, next } = subject;
  using _watch = watch;
  expect(await asked(subject, true)).toBe("ready");
  expect(await asked(subject, false)).toBe("ready");
  await next(false);
  expect(await watch.ask()).toBe("ready");
  await next(false);
  expect(await watch.ask()).toBe("not ready");
  for (const succeeds of [true, false, true]) await next(succeeds);
  expect(await watch.ask()).toBe("not ready");
  await next(true);
  expect(await asked(subject, true)).toBe("ready");
});

test("no sequence of checks turns it without so many in a row", async () => {
  await assert(
    asyncProperty(array(boolean(), { minLength: 1, maxLength: 20 }), async (checks) => {
      const subject = watched();
      const { watch, next } = subject;
      using _watch = watch;
      await asked(subject, true);
      await asked(subject, false);
      let [isReady, isWatched, failures, successes] = [true, true, 1, 0];
      for (const succeeds of checks) {
        if (!isWatched) return;
        await next(succeeds);
        [failures, successes] = succeeds ? [0, successes + 1] : [failures + 1, 0];
        if (failures >= 3) isReady = false;
        if (successes >= 2) [isReady, isWatched] = [true, false];
        if (isWatched) expect(await watch.ask()).toBe(isReady ? "ready" : "not ready");
      }
    }),
  );
});

test("while it drains it is not ready, and nothing is checked", async () => {
  const subject = watched();
  const { watch } = subject;
  using _watch = watch;
  watch.isDraining = true;
  expect(await watch.ask()).toBe("draining");
  watch.isDraining = false;
  expect(await asked(subject, true)).toBe("ready");
});
