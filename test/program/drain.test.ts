/** A server that is taken out of a load balancer: it says that it is not ready, and serves everything. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { startListening } from "../support/server-process.ts";
import type { Listening } from "../support/server-process.ts";
import { childrenOf } from "./support/processes.ts";

setDefaultTimeout(60_000);

const DEBUG = { REGISTRY_HTTP_DEBUG_ADDR: "127.0.0.1:0" };

async function debugUrlOf(server: Listening): Promise<string> {
  const [, debug = ""] = await server.printed(/"debugUrl":"([^"]+)"/);
  return debug;
}

/** A connection of its own, so that any worker may answer. */
async function status(url: string): Promise<number> {
  return (await fetch(url, { headers: { connection: "close" } })).status;
}

/** Resolves when so many answers in a row are this one. */
async function answers(url: string, expected: number): Promise<void> {
  for (let same = 0; same < 8;) same = (await status(url)) === expected ? same + 1 : 0;
}

for (const workers of ["1", "2"]) {
  test(`the debug address switches a drain on and off (workers: ${workers})`, async () => {
    await using server = await startListening({ env: { ...DEBUG, REGISTRY_WORKERS: workers } });
    const debug = await debugUrlOf(server);
    const health = await fetch(`${debug}/debug/health`);
    expect([health.status, await health.json()]).toEqual([200, {}]);
    expect(await status(`${server.url}/readyz`)).toBe(200);
    expect(await status(`${debug}/debug/health/down`)).toBe(405);
    expect((await fetch(`${debug}/debug/health/down`, { method: "POST" })).status).toBe(200);
    await answers(`${server.url}/readyz`, 503);
    const down = await fetch(`${debug}/debug/health`);
    expect([down.status, await down.json()]).toEqual([503, { manual_http_status: "manual Check" }]);
    for (const path of ["/healthz", "/v2/"]) expect(await status(server.url + path)).toBe(200);
    expect((await fetch(`${debug}/debug/health/up`, { method: "POST" })).status).toBe(200);
    await answers(`${server.url}/readyz`, 200);
  });

  test(`signals switch a drain on and off (workers: ${workers})`, async () => {
    await using server = await startListening({ env: { REGISTRY_WORKERS: workers } });
    server.signal("SIGUSR1");
    await answers(`${server.url}/readyz`, 503);
    expect(await status(`${server.url}/v2/`)).toBe(200);
    server.signal("SIGUSR2");
    await answers(`${server.url}/readyz`, 200);
    expect(await server.stop()).toBe(0);
  });
}

test("a worker that is started during a drain drains too", async () => {
  await using server = await startListening({ env: { REGISTRY_WORKERS: "2" } });
  server.signal("SIGUSR1");
  await answers(`${server.url}/readyz`, 503);
  const [first = 0] = await childrenOf(server.pid);
  process.kill(first, "SIGKILL");
  await server.printed(new RegExp(`"pid":${first},.*"a worker exited`));
  while ((await childrenOf(server.pid)).length < 2) await Bun.sleep(20);
  for (let ask = 0; ask < 30; ask++) expect(await status(`${server.url}/readyz`)).toBe(503);
});

test("a stop drains for as long as the settings say, and a second signal ends that", async () => {
  await using server = await startListening({ env: { REGISTRY_HTTP_DRAINDELAY: "1m" } });
  server.signal("SIGTERM");
  await server.printed(/"draining: /);
  expect(await status(`${server.url}/readyz`)).toBe(503);
  expect(await status(`${server.url}/v2/`)).toBe(200);
  server.signal("SIGTERM");
  expect(await server.ended).toBe(1);
});
