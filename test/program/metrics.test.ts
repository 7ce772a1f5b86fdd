/** Metrics of a server at work: what Prometheus reads after real requests. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pushImage } from "../support/client.ts";
import { scratchFolder } from "../support/scratch.ts";
import { startListening } from "../support/server-process.ts";
import type { Listening } from "../support/server-process.ts";
import { childrenOf } from "./support/processes.ts";

setDefaultTimeout(60_000);

const scratch = await scratchFolder();

type Values = (name: string) => Readonly<Record<string, number>>;

interface Watched extends Listening {
  /** Scrapes, and gives the values of a metric by their labels. */
  readonly scrape: () => Promise<Values>;
}

async function startWatched(env: Readonly<Record<string, string>> = {}): Promise<Watched> {
  const debug = { REGISTRY_HTTP_DEBUG_ADDR: "127.0.0.1:0", REGISTRY_HTTP_DEBUG_PROMETHEUS_ENABLED: "true" };
  const server = await startListening({ env: { ...debug, ...env } });
  const [, url = ""] = await server.printed(/"debugUrl":"([^"]+)"/);
  const scrape = async (): Promise<Values> => {
    const text = await (await fetch(`${url}/metrics`)).text();
    return (name) => {
      const lines = text.matchAll(new RegExp(`^${name}(?:\\{(.*)\\})? (\\S+)$`, "gm"));
      return Object.fromEntries(Array.from(lines, ([, labels = "", value]) => [labels, Number(value)]));
    };
  };
  return { ...server, scrape };
}

test("a push and pulls are counted by endpoint, with their bytes, calls and cache hits", async () => {
  await using server = await startWatched({
    REGISTRY_STORAGE_INLINE: "0",
    REGISTRY_HTTP_DEBUG_PROMETHEUS_REPOSITORIES: "5",
    REGISTRY_QUOTAS: '[{prefix: "*", bytes: 1GiB}]',
  });
  const { body } = await pushImage(server.url, "team/app", "v1");
  const manifest = `${server.url}/v2/team/app/manifests/v1`;
  for (let time = 0; time < 3; time++) await (await fetch(manifest)).arrayBuffer();
  await fetch(`${server.url}/v2/team/app/manifests/none`);
  await fetch(`${server.url}/nothing`);
  const values = await server.scrape();
  expect(values("registry_http_requests_total")).toMatchObject({
    'code="200",handler="manifest",method="get"': 3,
    'code="404",handler="manifest",method="get"': 1,
    'code="201",handler="manifest",method="put"': 1,
    'code="404",handler="unknown",method="get"': 1,
  });
  const size = Buffer.byteLength(body);
  expect(values("registry_http_response_size_bytes_sum")['handler="manifest"']).toBeGreaterThanOrEqual(3 * size);
  expect(values("registry_http_request_size_bytes_sum")['handler="manifest"']).toBe(size);
  expect(values("registry_storage_cache_hits_total")[""]).toBe(2);
  expect(values("registry_storage_cache_requests_total")[""]).toBe(3);
  expect(values("stowage_repository_requests_total")['repository="team/app",operation="pull"']).toBe(3);
  expect(values("stowage_database_action_seconds_count")['driver="sqlite",action="write"']).toBeGreaterThan(2);
  expect(values("registry_storage_action_seconds_count")['driver="filesystem",action="Move"']).toBeGreaterThan(0);
  expect(values("stowage_disk_free_bytes")[""]).toBeGreaterThan(0);
  expect(values("stowage_quota_limit")['prefix="*",resource="bytes"']).toBe(1024 ** 3);
  expect(values("process_resident_memory_bytes")[""]).toBeGreaterThan(1e6);
  let counted = values;
  while (counted("stowage_stored_counted_timestamp_seconds")[""] === 0) counted = await server.scrape();
  expect(counted("stowage_stored_blobs")[""]).toBeGreaterThan(0);
  expect(counted("stowage_stored_blob_bytes")[""]).toBeGreaterThan(0);
});

test("all workers are in one scrape, and those that have ended stay in the sums", async () => {
  await using server = await startWatched({ REGISTRY_WORKERS: "2" });
  const ask = async (times: number): Promise<void> => {
    for (let time = 0; time < times; time++) {
      expect((await fetch(`${server.url}/v2/`, { headers: { connection: "close" } })).status).toBe(200);
    }
  };
  const asked = async (): Promise<number | undefined> =>
    (await server.scrape())("registry_http_requests_total")['code="200",handler="base",method="get"'];
  await ask(40);
  expect(await asked()).toBe(40);
  expect((await server.scrape())("stowage_processes")[""]).toBe(3);
  const [stopped = 0, killed = 0] = await childrenOf(server.pid);
  process.kill(stopped, "SIGTERM");
  await server.printed(new RegExp(`"pid":${stopped},.*"a worker exited`));
  expect(await asked()).toBe(40);
  process.kill(killed, "SIGKILL");
  await server.printed(new RegExp(`"pid":${killed},.*"a worker exited`));
  expect(await asked()).toBe(40);
});

test("logins and refusals are counted by their result", async () => {
  const htpasswd = join(scratch, "htpasswd");
  await writeFile(htpasswd, `alice:${await Bun.password.hash("right", { algorithm: "bcrypt", cost: 4 })}\n`);
  await using server = await startWatched({ REGISTRY_AUTH_HTPASSWD_PATH: htpasswd, REGISTRY_AUTH_HTPASSWD_REALM: "r" });
  const login = async (password: string): Promise<number> => {
    const authorization = `Basic ${Buffer.from(`alice:${password}`).toString("base64")}`;
    return (await fetch(`${server.url}/v2/`, { headers: { authorization } })).status;
  };
  expect([await login("right"), await login("right"), await login("wrong")]).toEqual([200, 200, 401]);
  expect((await fetch(`${server.url}/v2/`)).status).toBe(401);
  const values = await server.scrape();
  const { 'scheme="basic",result="accepted"': accepted, ...refused } = values("stowage_logins_total");
  expect(accepted).toBe(1);
  expect(Object.values(refused)).toEqual([1]);
  expect(values("stowage_access_refusals_total")).toEqual({ 'reason="rejected"': 1, 'reason="unauthenticated"': 1 });
});
