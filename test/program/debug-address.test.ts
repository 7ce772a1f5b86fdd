/** The debug address: for machines that watch. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { sendRaw } from "../support/raw.ts";
import { refusedStart } from "../support/refused-start.ts";
import { startListening } from "../support/server-process.ts";
import type { Listening } from "../support/server-process.ts";

setDefaultTimeout(60_000);

const DEBUG = { REGISTRY_HTTP_DEBUG_ADDR: "127.0.0.1:0" };

async function startWatched(
  env: Readonly<Record<string, string>> = {},
): Promise<Listening & { readonly debug: string }> {
  const server = await startListening({ env: { ...DEBUG, ...env } });
  const [, debug = ""] = await server.printed(/"debugUrl":"([^"]+)"/);
  return { ...server, debug };
}

test("without a setting nothing listens, and clients find no metrics", async () => {
  await using server = await startListening({ env: { REGISTRY_HTTP_DEBUG_PROMETHEUS_ENABLED: "true" } });
  expect((await fetch(`${server.url}/metrics`)).status).toBe(404);
  expect(server.output()).not.toContain("debugUrl");
});

test("metrics are shown where the settings say, and only there", async () => {
  await using server = await startWatched({ REGISTRY_HTTP_DEBUG_PROMETHEUS_ENABLED: "true" });
  const reply = await fetch(`${server.debug}/metrics`);
  expect([reply.status, reply.headers.get("content-type")]).toEqual([200, "text/plain; version=0.0.4; charset=utf-8"]);
  const text = await reply.text();
  expect(text).toMatch(/^stowage_build_info\{version="[\d.]+"\} 1$/m);
  expect(text).toMatch(/^stowage_scrub_last_completed_timestamp_seconds 0$/m);
  expect((await fetch(`${server.debug}/metrics`, { method: "POST" })).status).toBe(405);
  expect((await fetch(`${server.debug}/v2/`)).status).toBe(404);
  expect(server.output()).not.toContain("/metrics"); // who watches is not logged
  expect((await fetch(`${server.url}/metrics`)).status).toBe(404);
  expect(await server.stop()).toBe(0);
});

test("metrics have another path, or none", async () => {
  const env = { REGISTRY_HTTP_DEBUG_PROMETHEUS_ENABLED: "true", REGISTRY_HTTP_DEBUG_PROMETHEUS_PATH: "/numbers" };
  await using moved = await startWatched(env);
  expect((await fetch(`${moved.debug}/numbers`)).status).toBe(200);
  expect((await fetch(`${moved.debug}/metrics`)).status).toBe(404);
  await using off = await startWatched();
  expect((await fetch(`${off.debug}/metrics`)).status).toBe(404);
  expect((await fetch(`${off.debug}/debug/health`)).status).toBe(200);
});

test("probes of HTTP/1.0 without a Host are answered", async () => {
  await using server = await startWatched({ REGISTRY_HTTP_DEBUG_PROMETHEUS_ENABLED: "true" });
  for (const target of ["/debug/health", "/metrics"]) {
    const reply = await sendRaw(Number(new URL(server.debug).port), `GET ${target} HTTP/1.0\r\n\r\n`);
    expect([target, reply.status]).toEqual([target, 200]);
  }
});

test("what collection removed is counted", async () => {
  await using server = await startWatched({
    REGISTRY_HTTP_DEBUG_PROMETHEUS_ENABLED: "true",
    REGISTRY_GC_INTERVAL: "1s",
    REGISTRY_STORAGE_INLINE: "0",
  });
  const begun = await fetch(`${server.url}/v2/team/app/blobs/uploads/`, { method: "POST" });
  const upload = new URL(begun.headers.get("location") ?? "", server.url);
  expect((await fetch(upload, { method: "PATCH", body: "bytes" })).status).toBe(202);
  expect((await fetch(upload, { method: "DELETE" })).status).toBe(204);
  const metrics = async (): Promise<string> => await (await fetch(`${server.debug}/metrics`)).text();
  while (!/^stowage_collection_removed_total\{kind="file"\} 1$/m.test(await metrics())) await Bun.sleep(50);
});

test("an address that is taken keeps it from starting", async () => {
  await using other = await startListening();
  const message = await refusedStart({ env: { REGISTRY_HTTP_DEBUG_ADDR: `127.0.0.1:${other.port}` } });
  expect(message).toStartWith(`stowage: http.debug.addr: 127.0.0.1:${other.port} is in use`);
});
