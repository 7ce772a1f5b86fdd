/** Several processes that serve on one port: they act as one, and none of them outlives the others. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { rename, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { pushImage, putManifest } from "../support/client.ts";
import { bytesOf } from "../support/content.ts";
import { runProgram } from "../support/program.ts";
import { refusedStart } from "../support/refused-start.ts";
import { scratchFolder } from "../support/scratch.ts";
import { startListening } from "../support/server-process.ts";
import type { ServerProcess } from "../support/server-process.ts";
import { openConnection, refusesConnections } from "./support/connections.ts";
import { holdUpload } from "./support/held-upload.ts";
import { childrenOf, countConnections } from "./support/processes.ts";

setDefaultTimeout(60_000);

const scratch = await scratchFolder();
const env = { REGISTRY_WORKERS: "2" };

/** So many connections do not all come to the same one of two. */
const MANY = 40;

describe("two workers", () => {
  test("share the connections among them, and leave none to the process that started them", async () => {
    await using server = await startListening({ env });
    const sockets = await Promise.all(Array.from({ length: MANY }, () => ask(server.port)));
    const workers = await childrenOf(server.pid);
    const counts = await Promise.all(workers.map((pid) => countConnections(pid, server.port)));
    expect(counts).toHaveLength(2);
    expect(Math.min(...counts)).toBeGreaterThan(0);
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(MANY);
    expect(await countConnections(server.pid, server.port)).toBe(0);
    for (const socket of sockets) socket.destroy();
  });

  test("show at once what was pushed through any of them", async () => {
    await using server = await startListening({ env });
    const tag = new URL("/v2/team/app/manifests/latest", server.url);
    const images = [];
    for (const seed of [1, 2]) images.push(await pushImage(server.url, "team/app", undefined, seed));
    for (let time = 0; time < MANY; time++) {
      const { body, digest } = images[time % 2]!;
      expect((await putManifest(server.url, "team/app", "latest", body, undefined, ALONE)).status).toBe(201);
      const replies = await Promise.all(Array.from({ length: 6 }, () => fetch(tag, { headers: ALONE })));
      for (const reply of replies) expect(reply.headers.get("docker-content-digest")).toBe(digest);
    }
  });

  test("write one log, in which every line is whole", async () => {
    await using server = await startListening({ env });
    const asked = Array.from({ length: MANY * 40 }, (_, at) => at); // together less than may wait for the reader
    const asking = Array.from({ length: MANY }, async (_, share) => {
      const uris = asked
        .filter((at) => at % MANY === share)
        .map((at) => `/v2/?at=${at}&${"x".repeat(1000 + (at % 500))}`);
      await askAtOnce(await openConnection(server.port), uris);
    });
    await Promise.all(asking);
    expect(await server.stop()).toBe(0);
    const lines = server.output().trim().split("\n");
    const seen = lines
      .filter((line) => line.includes("at="))
      .map((line) => JSON.parse(line) as Record<string, string>)
      .map((entry) => Number(/at=(\d+)/.exec(entry["http.request.uri"] ?? "")?.[1]));
    expect(seen.toSorted((a, b) => a - b)).toEqual(asked);
  });

  test("leave an address in use alone", async () => {
    await using first = await startListening({ env });
    const taken = { ...env, REGISTRY_HTTP_ADDR: `127.0.0.1:${first.port}` };
    const said = `127.0.0.1:${first.port} is in use: stop the program that listens there`;
    expect(await refusedStart({ env: taken })).toContain(said);
    expect(await refusedStart({ env: { ...taken, REGISTRY_WORKERS: "1" } })).toContain(said);
    expect((await fetch(`${first.url}/v2/`)).status).toBe(200);
  });

  test("leave an address alone on which another program listens", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => other.once("listening", resolve));
    try {
      const { port } = other.address() as AddressInfo;
      expect(await refusedStart({ env: { ...env, REGISTRY_HTTP_ADDR: `127.0.0.1:${port}` } })).toContain("is in use");
    } finally {
      other.close();
    }
  });
});

describe("workers end", () => {
  test("once, when every process is signalled, as Ctrl-C at a terminal does", async () => {
    await using server = await startListening({ env, wrapper: ["setsid"] });
    using upload = await holdUpload(server.url, bytesOf("Ctrl-C", 200_000));
    process.kill(-server.pid, "SIGINT");
    await server.printed(/"stopping: /);
    await refusesConnections(server.port);
    expect((await upload.finish()).statusCode).toBe(202);
    expect(await server.ended).toBe(0);
    expect(server.output()).not.toContain("a worker exited");
  });

  test("at once, when the process that started them is signalled twice", async () => {
    await using server = await startListening({ env });
    const workers = await childrenOf(server.pid);
    using _upload = await holdUpload(server.url, bytesOf("twice", 200_000));
    server.signal("SIGTERM");
    await server.printed(/"stopping: /);
    server.signal("SIGTERM");
    expect(await server.ended).toBe(1);
    await areGone(workers);
    expect(server.output()).not.toContain("did not finish in time");
  });

  test("when their requests are answered, when the process that started them was killed", async () => {
    await using server = await startListening({ env });
    const workers = await childrenOf(server.pid);
    const content = bytesOf("orphaned", 200_000);
    using upload = await holdUpload(server.url, content);
    server.signal("SIGKILL");
    await refusesConnections(server.port);
    expect((await upload.finish()).statusCode).toBe(202);
    expect(await server.ended).toBeNull();
    await areGone(workers);

    const { dataDir, port } = server;
    await using next = await startListening({ dataDir, env: { ...env, REGISTRY_HTTP_ADDR: `127.0.0.1:${port}` } });
    const again = new URL(upload.location.pathname, next.url);
    expect((await fetch(again)).headers.get("range")).toBe("0-199999");
  });

  test("and are replaced after SIGKILL or SIGTERM", async () => {
    await using server = await startListening({ env });
    const before = await childrenOf(server.pid);
    const [killed = 0, stopped = 0] = before;
    process.kill(killed, "SIGKILL");
    await server.printed(new RegExp(`"pid":${killed},.*"signal":"SIGKILL",.*"a worker exited: `));
    const [first = 0] = await newChildren(server, before);
    await serves(first, server.port);
    process.kill(stopped, "SIGTERM");
    const [second = 0] = await newChildren(server, [...before, first]);
    await serves(second, server.port);
    expect(new Set(await childrenOf(server.pid))).toEqual(new Set([first, second]));
    expect(await server.stop()).toBe(0);
  });

  test("and take the server with them, when no other can be started", async () => {
    await using server = await startListening({ env });
    await rename(server.dataDir, join(scratch, "moved"));
    await writeFile(server.dataDir, "in the way");
    for (const pid of await childrenOf(server.pid)) process.kill(pid, "SIGKILL");
    expect(await server.ended).toBe(1);
    expect(server.errors()).toContain("cannot be written"); // what the workers say
    expect(server.errors()).toEndWith("5 times in a row: see the log lines above, or set workers to 1\n");
  });
});

describe("one process serves, whatever the setting says,", () => {
  test("on a Unix socket, and the log says why", async () => {
    const unix = join(scratch, "one.sock");
    await using server = await startListening({ env: { ...env, REGISTRY_HTTP_ADDR: `unix:${unix}` } });
    await server.printed(/"workers: they cannot share a Unix socket: one process serves, not 2"/);
    expect(await childrenOf(server.pid)).toEqual([]);
    expect((await fetch("http://localhost/v2/", { unix })).status).toBe(200);
  });
});

test("a data folder that only one process may open is not shared", async () => {
  const alone = { ...env, REGISTRY_STORAGE_FILESYSTEM_SINGLEPROCESS: "true" };
  expect(await refusedStart({ env: alone })).toContain("set workers to 1, or singleprocess to false");
  await using server = await startListening({ env: { ...alone, REGISTRY_WORKERS: "1" } });
  expect((await fetch(`${server.url}/v2/`)).status).toBe(200);
});

test("a worker is not started by people", async () => {
  const folder = join(scratch, "none");
  const { exitCode, stderr } = await runProgram(folder, ["worker"]);
  expect(exitCode).toBe(1);
  expect(stderr).toMatch(/^stowage: [^\n]*stowage serve[^\n]*\n$/);
  expect(existsSync(folder)).toBe(false);
});

/** A request with this has a connection of its own, which any worker may get. */
const ALONE = { connection: "close" };

/** A connection on which a request was answered. */
async function ask(port: number): Promise<Socket> {
  const socket = await openConnection(port);
  socket.write("GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n");
  await new Promise((resolve) => socket.once("data", resolve));
  return socket;
}

/** Sends requests without waiting for answers, so that their lines come faster than they are read; then waits for all. */
async function askAtOnce(socket: Socket, uris: readonly string[]): Promise<void> {
  const closed = new Promise((resolve) => socket.resume().once("close", resolve));
  for (const uri of uris) socket.write(`GET ${uri} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  socket.write("GET /v2/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  await closed;
}

/** Resolves when the process has answered a request to the port. */
async function serves(pid: number, port: number): Promise<void> {
  for (let found = false; !found;) {
    const socket = await ask(port);
    found = (await countConnections(pid, port)) > 0;
    socket.destroy();
  }
}

/** The processes that the server has started since, as soon as there are any. */
async function newChildren({ pid }: ServerProcess, before: readonly number[]): Promise<readonly number[]> {
  for (;;) {
    const children = (await childrenOf(pid)).filter((child) => !before.includes(child));
    if (children.length > 0) return children;
    await nextTurn();
  }
}

async function areGone(pids: readonly number[]): Promise<void> {
  while (pids.some((pid) => existsSync(`/proc/${pid}`))) await nextTurn();
}
