/** A log that cannot be written stops nothing: neither requests nor what runs in the background nor the stop. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { closeSync, openSync } from "node:fs";
import { pushImage } from "../support/client.ts";
import { openFifo } from "../support/fifo.ts";
import type { Fifo } from "../support/fifo.ts";
import { freePorts } from "../support/free-ports.ts";
import { startListening, startProcess } from "../support/server-process.ts";
import type { ServerProcess } from "../support/server-process.ts";
import { childrenOf } from "./support/processes.ts";

setDefaultTimeout(60_000);

const WATCHED = { REGISTRY_HTTP_DEBUG_ADDR: "127.0.0.1:0", REGISTRY_HTTP_DEBUG_PROMETHEUS_ENABLED: "true" };

interface Subject extends AsyncDisposable {
  readonly server: ServerProcess;
  readonly url: string;
  /** A number that the server has counted. */
  readonly metric: (name: string) => Promise<number>;
}

/** A server whose standard output the test reads, when it does. */
async function startOn(fifo: Fifo, env: Readonly<Record<string, string>>): Promise<Subject> {
  const server = await startProcess({ stdout: fifo.file, env: { ...WATCHED, ...env } });
  const text = await fifo.readUntil(/Listening on (?:\S+"\}\n|[^]*\n\n)/);
  const url = /Listening on ([^\s"]+)/.exec(text)?.[1] ?? "";
  const debugUrl = /(?:"debugUrl":"|Debug address: )([^\s"]+)/.exec(text)?.[1] ?? "";
  return { server, url, metric: metricAt(debugUrl), [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

/** A server of which nothing can be read. */
async function startUnread(
  options: { readonly stdout?: number; readonly wrapper?: readonly string[] },
  env: Readonly<Record<string, string>>,
): Promise<Subject> {
  const [port, debugPort] = await freePorts(2);
  const addresses = { REGISTRY_HTTP_ADDR: `127.0.0.1:${port}`, REGISTRY_HTTP_DEBUG_ADDR: `127.0.0.1:${debugPort}` };
  const server = await startProcess({ ...options, env: { ...WATCHED, ...env, ...addresses } });
  const url = `http://127.0.0.1:${port}`;
  const debugUrl = `http://127.0.0.1:${debugPort}`;
  for (const each of [url, debugUrl]) await until(() => fetch(each).then(Boolean, () => false));
  const metric = metricAt(debugUrl);
  return { server, url, metric, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

function metricAt(debugUrl: string): Subject["metric"] {
  return async (name) => {
    const text = await (await fetch(`${debugUrl}/metrics`)).text();
    return Number(new RegExp(`^${name} (\\d+)`, "m").exec(text)?.[1]);
  };
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await Bun.sleep(5);
}

async function status(url: string): Promise<number> {
  // Each on a connection of its own: so every worker is asked in its turn.
  const reply = await fetch(url, { headers: { connection: "close" } });
  await reply.text();
  return reply.status;
}

/** Milliseconds that the program has worked, with all that it has started. */
async function workedMs(pid: number): Promise<number> {
  const pids = [pid, ...(await childrenOf(pid))];
  const ticks = pids.map(async (each) => {
    const fields = (await readFile(`/proc/${each}/stat`, "utf8")).split(") ")[1]?.split(" ") ?? [];
    return Number(fields[11]) + Number(fields[12]);
  });
  return (await Promise.all(ticks)).reduce((sum, each) => sum + each, 0) * 10;
}

/** Resolves when the program rests while nothing is asked of it: one that spins never does. */
async function rests({ pid }: ServerProcess): Promise<void> {
  for (;;) {
    const before = await workedMs(pid);
    await Bun.sleep(200);
    if ((await workedMs(pid)) - before <= 50) return;
  }
}

/** More than the pipe and the memory for waiting lines hold, in lines of requests. */
async function fillLog({ url, metric }: Subject): Promise<void> {
  const path = `${url}/v2/${"x".repeat(4000)}/tags/list`;
  while ((await metric("stowage_log_dropped_lines_total")) === 0) {
    await Promise.all(Array.from({ length: 100 }, () => status(path)));
  }
}

for (const workers of ["1", "2"]) {
  for (const formatter of ["json", "text"]) {
    const env = { REGISTRY_WORKERS: workers, REGISTRY_LOG_FORMATTER: formatter };

    describe(`workers: ${workers}, formatter: ${formatter}`, () => {
      test("a reader that has gone is noticed, and all goes on", async () => {
        using fifo = await openFifo();
        await using subject = await startOn(fifo, env);
        const { server, url, metric } = subject;
        fifo.leave();
        let pushes = 0;
        await until(async () => {
          await pushImage(url, "team/app", `v${pushes}`, `${pushes++}`); // each of its requests is answered with 201
          return (await status(`${url}/readyz`)) === 503;
        });
        expect(await status(`${url}/healthz`)).toBe(200);
        await rests(server);
        await until(async () => (await metric("stowage_audit_dropped_lines_total")) > 0);
        expect(await metric("stowage_log_dropped_lines_total")).toBeGreaterThan(
          await metric("stowage_audit_dropped_lines_total"),
        );

        fifo.comeBack();
        await fifo.readUntil(/log lines were dropped/);
        for (let ready = 0; ready < 8;) ready = (await status(`${url}/readyz`)) === 200 ? ready + 1 : 0;
        expect(await server.stop()).toBe(0);
        expect(await fifo.readUntil(/stopped/)).toContain("stopping: ");
        expect(server.errors()).toBe("");
      });

      if (formatter === "text") return;
      test("a reader that stalls delays neither a request nor the stop", async () => {
        using fifo = await openFifo();
        await using subject = await startOn(fifo, env);
        await fillLog(subject);
        const { server, url } = subject;
        await pushImage(url, "team/app", "latest");
        expect(await status(`${url}/healthz`)).toBe(200);
        await rests(server);
        expect(await server.stop()).toBe(0);
        expect(server.errors()).toBe("");
      });
    });
  }

  test(`a full disk under the log stops nothing (workers: ${workers})`, async () => {
    const full = openSync("/dev/full", "w");
    await using subject = await startUnread({ stdout: full }, { REGISTRY_WORKERS: workers });
    closeSync(full);
    const { server, url, metric } = subject;
    await pushImage(url, "team/app", "latest");
    await until(async () => (await metric("stowage_audit_dropped_lines_total")) > 0);
    await rests(server);
    expect(await server.stop()).toBe(0);
    expect(server.errors()).toBe("");
  });

  test(`a standard output that is closed stops nothing (workers: ${workers})`, async () => {
    const wrapper = ["sh", "-c", 'exec "$@" >&-', "sh"];
    await using subject = await startUnread({ wrapper }, { REGISTRY_WORKERS: workers });
    await pushImage(subject.url, "team/app", "latest");
    expect(await status(`${subject.url}/readyz`)).toBe(200);
    expect(await subject.server.stop()).toBe(0);
    expect(subject.server.errors()).toBe("");
  });
}

test("the log of JSON holds nothing but JSON, from the greeting to the end", async () => {
  using fifo = await openFifo();
  await using subject = await startOn(fifo, { REGISTRY_WORKERS: "2", REGISTRY_LOG_LEVEL: "debug" });
  const { server, url } = subject;
  await pushImage(url, "team/app", "latest");
  await fetch(`${url}/v2/`, { headers: { "user-agent": "\u009b2K\u007f" } });
  await server.stop();
  const lines = (await fifo.readUntil(/"stopped"\}\n/)).trimEnd().split("\n");
  for (const line of lines) {
    expect(JSON.parse(line)).toMatchObject({ level: expect.stringMatching(/^\w+$/), time: expect.any(String) });
    expect(line).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}]/u);
  }
  expect(JSON.parse(lines[0] ?? "")).toMatchObject({ level: "info", url, dataFolder: server.dataDir });
});

test("text has one line for each request, and one beside it for a change", async () => {
  using fifo = await openFifo();
  await using subject = await startOn(fifo, { REGISTRY_LOG_FORMATTER: "text" });
  const { server, url } = subject;
  await pushImage(url, "team/app", "latest");
  await fetch(`${url}/v2/`, { headers: { "user-agent": "a\u009b2Kb\u007f" } });
  await server.stop();
  const text = await fifo.readUntil(/stopped\n/);
  const lines = text.slice(text.indexOf("\n\n", text.indexOf("push")) + 2).split("\n");
  const put = lines.findIndex((line) => line.includes("PUT 201 /v2/team/app/manifests/latest"));
  expect(lines[put]).toMatch(/^\[\d\d:\d\d:\d\d\] INFO: PUT 201 \S+ [\d.]+ ms 127\.0\.0\.1 Bun\/\S+$/);
  expect(lines[put - 1]).toMatch(/INFO: anonymous pushed the manifest team\/app:latest$/);
  expect(text).toContain(String.raw`127.0.0.1 a\u009b2Kb\u007f`);
  for (const line of lines) expect(line).toMatch(/^(?:\[\d\d:\d\d:\d\d\] .*)?$/);
});

test("a request keeps its id, or gets one: in the response, from the cache too, and in the log", async () => {
  await using server = await startListening();
  const idOf = async (id?: string, method = "GET"): Promise<string | null> => {
    const headers = id === undefined ? {} : { "x-request-id": id };
    return (await fetch(`${server.url}/v2/`, { method, headers })).headers.get("x-request-id");
  };
  expect([await idOf("abc-1"), await idOf("abc-2"), await idOf("abc-3", "HEAD")]).toEqual(["abc-1", "abc-2", "abc-3"]);
  const made = new Set([await idOf(), await idOf(), await idOf("no good")]);
  expect(made.size).toBe(3);
  for (const id of ["abc-1", "abc-3", ...made]) await server.printed(new RegExp(`"http.request.id":"${id}"`));
});
