import { expect, test } from "bun:test";
import { createServer } from "node:net";
import { silentLogger } from "../../observe/logger.ts";
import { HealthChecks, httpCheck, tcpCheck } from "./health-checks.ts";
import type { HealthCheck } from "./health-checks.ts";

const TIMES = { intervalMs: 1, threshold: 1 };

/** Resolves when the checks that fail are those. */
async function untilFailing(checks: HealthChecks, names: readonly string[]): Promise<void> {
  while ([...checks.failing.keys()].join() !== names.join()) await Bun.sleep(1);
}

test("a check fails after its threshold of failures in a row, and passes at the first success", async () => {
  const results: (string | undefined)[] = ["a", "b", undefined, "c", "d", "e", "f", undefined];
  const failingAt: boolean[] = [];
  const done = Promise.withResolvers<void>();
  let checks: HealthChecks | undefined;
  const check: HealthCheck = {
    name: "scripted",
    intervalMs: 1,
    threshold: 3,
    async check() {
      failingAt.push(checks?.failing.has("scripted") ?? false);
      if (results.length === 0) done.resolve();
      return results.shift();
    },
  };
  checks = new HealthChecks([check], silentLogger());
  await done.promise;
  checks[Symbol.dispose]();
  expect(failingAt.slice(0, 9)).toEqual([false, false, false, false, false, false, true, true, false]);
});

test("an HTTP check wants the status, by HEAD with the headers, and fails when no server answers", async () => {
  const asked: string[] = [];
  let status = 200;
  using server = Bun.serve({
    port: 0,
    fetch(request) {
      asked.push(`${request.method} ${request.headers.get("x-key")}`);
      return new Response(null, { status });
    },
  });
  const uri = `http://127.0.0.1:${server.port}/health`;
  const options = { ...TIMES, uri, headers: { "X-Key": ["a", "b"] }, statuscode: 200, timeoutMs: 5000 };
  using checks = new HealthChecks([httpCheck(options)], silentLogger());
  while (asked.length === 0) await Bun.sleep(1);
  expect(asked[0]).toBe("HEAD a, b");
  status = 500;
  await untilFailing(checks, [uri]);
  expect(checks.failing.get(uri)).toBe("status 500 instead of 200");
  status = 200;
  await untilFailing(checks, []);
  await server.stop(true);
  await untilFailing(checks, [uri]);
});

test("a TCP check wants a connection", async () => {
  const listener = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const { port } = listener.address() as { port: number };
  using checks = new HealthChecks(
    [tcpCheck({ ...TIMES, hostname: "127.0.0.1", port, timeoutMs: 5000 })],
    silentLogger(),
  );
  await untilFailing(checks, []);
  await new Promise((resolve) => listener.close(resolve));
  await untilFailing(checks, [`127.0.0.1:${port}`]);
  expect(checks.failing.get(`127.0.0.1:${port}`)).toMatch(/ECONNREFUSED/);
});
