/** Settings that change while the server runs: SIGHUP, read-only mode, health checks, and what the log is made of. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pushImage } from "../support/client.ts";
import { scratchFolder } from "../support/scratch.ts";
import { startListening } from "../support/server-process.ts";

setDefaultTimeout(60_000);

const scratch = await scratchFolder();

async function statusOf(url: string, method = "GET"): Promise<number> {
  return (await fetch(url, { method, headers: { connection: "close" } })).status;
}

/** Asks on connections of their own, so that each worker is asked, until all answer alike. */
async function untilAll(ask: () => Promise<number>, status: number): Promise<void> {
  for (let alike = 0; alike < 10; alike = (await ask()) === status ? alike + 1 : 0) await Bun.sleep(1);
}

describe.each(["1", "2"])("SIGHUP (workers: %s)", (workers) => {
  test("puts in force what can change, names what needs a restart, and keeps all when the file is broken", async () => {
    const file = join(scratch, `config-${workers}.yml`);
    await writeFile(file, "storage: {maintenance: {readonly: {enabled: false}}}\n");
    await using server = await startListening({ words: ["serve", file], env: { REGISTRY_WORKERS: workers } });
    await pushImage(server.url, "team/app", "latest");
    const push = (): Promise<number> => statusOf(`${server.url}/v2/team/app/blobs/uploads/`, "POST");
    const pull = (): Promise<number> => statusOf(`${server.url}/v2/team/app/manifests/latest`);

    await writeFile(file, "storage: {maintenance: {readonly: {enabled: true}}}\ngc: {interval: 5m}\n");
    server.signal("SIGHUP");
    await server.printed(/storage\.maintenance\.readonly\.enabled in force; a restart is needed for gc\.interval/);
    await untilAll(push, 405);
    await untilAll(pull, 200);
    for (const [method, path] of [
      ["PUT", "manifests/latest"],
      ["DELETE", "manifests/latest"],
      ["DELETE", `blobs/sha256:${"0".repeat(64)}`],
      ["PATCH", "blobs/uploads/0"],
    ] as const) {
      const reply = await fetch(`${server.url}/v2/team/app/${path}`, { method });
      expect([path, reply.status, await reply.json()]).toEqual([
        path,
        405,
        { errors: [expect.objectContaining({ code: "UNSUPPORTED" })] },
      ]);
      expect(reply.headers.get("allow") ?? "").not.toContain(method);
    }

    await writeFile(file, "storage: {maintenance: {readonly: {enabled: perhaps}}}\n");
    server.signal("SIGHUP");
    await server.printed(/config-\d\.yml: line 1: storage\.maintenance\.readonly\.enabled is .*perhaps/);
    await untilAll(push, 405);

    await writeFile(file, "log: {level: warn}\n");
    server.signal("SIGHUP");
    await untilAll(push, 202);
    expect(await server.stop()).toBe(0);
  });
});

describe("a health check", () => {
  test("on a file makes the server unready while the file is there", async () => {
    const file = join(scratch, "drain");
    await using server = await startListening({
      env: {
        REGISTRY_HEALTH_FILE_0_FILE: file,
        REGISTRY_HEALTH_FILE_0_INTERVAL: "1s",
        REGISTRY_HTTP_DEBUG_ADDR: "127.0.0.1:0",
      },
    });
    const [, debugUrl = ""] = /"debugUrl":"([^"]+)"/.exec(server.output()) ?? [];
    const ready = (): Promise<number> => statusOf(`${server.url}/readyz`);
    await untilAll(ready, 200);
    await writeFile(file, "");
    await untilAll(ready, 503);
    const health = await fetch(`${debugUrl}/debug/health`);
    expect([health.status, await health.json()]).toEqual([503, { [file]: "the file exists" }]);
    expect(await statusOf(`${server.url}/v2/`)).toBe(200); // only readiness
    await rm(file);
    await untilAll(ready, 200);
    expect(await statusOf(`${debugUrl}/debug/health`)).toBe(200);
  });
});

describe("the log", () => {
  test("in the format of Logstash has its names, and the fields of the settings in every line", async () => {
    const env = { REGISTRY_LOG_FORMATTER: "logstash", REGISTRY_LOG_FIELDS_ENVIRONMENT: "test" };
    await using server = await startListening({ env });
    await pushImage(server.url, "team/app", "latest");
    expect(await statusOf(`${server.url}/v2/team/app/manifests/latest`)).toBe(200);
    expect(await server.stop()).toBe(0);
    const lines = server.output().trim().split("\n");
    expect(lines.some((line) => line.includes("http.request.uri"))).toBeTrue();
    for (const line of lines) {
      expect(JSON.parse(line)).toMatchObject({
        "@timestamp": expect.stringMatching(/^\d{4}-.*Z$/),
        "@version": "1",
        environment: "test",
        level: expect.any(String),
        message: expect.any(String),
      });
    }
  });

  test("has no requests when its access log is disabled, and the audit all the same", async () => {
    await using server = await startListening({ env: { REGISTRY_LOG_ACCESSLOG_DISABLED: "true" } });
    await pushImage(server.url, "team/app", "latest");
    expect(await server.stop()).toBe(0);
    expect(server.output()).not.toContain("http.request.uri");
    expect(server.output()).toContain('"audit"');
  });
});
