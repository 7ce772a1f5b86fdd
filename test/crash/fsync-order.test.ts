/** What was answered is on the disk: the order of writes, syncs, renames and replies, as the system saw it. */
import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import {
  bytesOf,
  descriptorOf,
  digestOf,
  imageManifest,
  OCI_CONFIG,
  OCI_LAYER,
  OCI_MANIFEST,
} from "../support/content.ts";
import { leaveToSleeper } from "../support/data-folder.ts";
import { startGroup, startServerGroup } from "../support/program.ts";
import { readTrace, tracing } from "./support/system-calls.ts";
import type { SystemCall } from "./support/system-calls.ts";

setDefaultTimeout(60_000);

const LARGE = bytesOf("large", 1024 * 1024);
const SMALL = bytesOf("small", 1000);
const MANIFEST = imageManifest(descriptorOf(OCI_CONFIG, SMALL), [descriptorOf(OCI_LAYER, LARGE)]);

/** The calls between the reply to one request and the reply to the next. */
interface Answered {
  readonly calls: readonly SystemCall[];
  readonly reply: SystemCall;
}

const SYNCS: ReadonlySet<string> = new Set(["fsync", "fdatasync"]);
const SENDS: ReadonlySet<string> = new Set(["write", "writev", "sendto", "sendmsg"]);

const isSyncOf = (call: SystemCall, path: string): boolean => SYNCS.has(call.name) && call.args.endsWith(`<${path}>`);
const isWriteTo = (call: SystemCall, path: string): boolean =>
  call.name.includes("write") && call.args.includes(`<${path}>`);

describe("for one push of a blob of 1 MiB in a single request", () => {
  let dataDir = "";
  let answered: ReadonlyMap<string, Answered>;

  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), "stowage-fsync-"));
    answered = await pushTraced(dataDir);
    await rm(dataDir, { recursive: true });
  });

  const of = (request: string): Answered => {
    const found = answered.get(request);
    if (!found) throw new Error(`the trace shows no reply to ${request}`);
    return found;
  };

  test.each(["POST", "PUT"])("%s: the file, its new name, the folder, the database's log, then 201", (request) => {
    const { calls, reply } = of(request);
    const rename = only(calls, (call) => call.name.startsWith("rename") && call.args.includes("/uploads/"));
    const [from = "", to = ""] = [...rename.args.matchAll(/"([^"]+)"/g)].map(([, path = ""]) => path);
    expect([basename(dirname(from)), to.startsWith(`${dataDir}/blobs/sha256/`)]).toEqual(["uploads", true]);

    const log = join(dataDir, "registry.db-wal");
    const written = last(calls, (call) => isWriteTo(call, from));
    const fileSynced = last(calls, (call) => isSyncOf(call, from));
    const folderSynced = only(calls, (call) => isSyncOf(call, dirname(to)));
    const committed = last(calls, (call) => isWriteTo(call, log));
    const logSynced = last(calls, (call) => isSyncOf(call, log));
    expectOrder({ written, fileSynced, rename, folderSynced, committed, logSynced, reply });
  });

  test("every folder that was made is durable before the row that names what lies in it", () => {
    const { calls } = of("POST");
    const log = join(dataDir, "registry.db-wal");
    // What lies in `holders` means nothing once the processes have ended.
    const made = calls.filter((call) => call.name.startsWith("mkdir") && !call.args.includes("/holders"));
    expect(made).toHaveLength(4); // uploads, blobs, blobs/sha256 and one below it
    for (const mkdir of made) {
      const path = /"([^"]+)"/.exec(mkdir.args)?.[1] ?? "";
      const synced = calls.find((call) => isSyncOf(call, dirname(path)) && call.start > mkdir.end);
      expectOrder({ mkdir, synced: synced!, committed: last(calls, (call) => isWriteTo(call, log)) });
    }
  });

  test("an upload that begins is written down, and costs no sync of its own", () => {
    const { calls, reply } = of("begun");
    const log = join(dataDir, "registry.db-wal");
    expectOrder({ committed: last(calls, (call) => isWriteTo(call, log)), reply });
    expect(calls.filter((call) => SYNCS.has(call.name))).toEqual([]);
  });

  test.each(["small blob", "manifest"])("%s: the database's log, then 201, and no file", (request) => {
    const { calls, reply } = of(request);
    const log = join(dataDir, "registry.db-wal");
    const committed = last(calls, (call) => isWriteTo(call, log));
    const logSynced = last(calls, (call) => isSyncOf(call, log));
    expectOrder({ committed, logSynced, reply });
    expect(calls.filter((call) => call.name.startsWith("rename"))).toEqual([]);
  });
});

test("a folder that another server made is durable before the row that names what lies in it", async () => {
  const dataDir = await mkdtemp(join(tmpdir(), "stowage-fsync-"));
  const other = await startServerGroup(dataDir);
  try {
    const push = (url: string): Promise<Response> =>
      send("POST", `${url}/v2/app/blobs/uploads/?digest=${digestOf(LARGE)}`, LARGE);
    await push(other.url);
    // The other one may have died before it synced what it made: the trace cannot show that.
    const { calls: all, replies } = await traced(dataDir, push);
    const [reply] = replies as [SystemCall];
    const calls = all.filter(({ start }) => start < reply.start);
    const log = join(dataDir, "registry.db-wal");
    const folderSynced = last(calls, (call) => isSyncOf(call, join(dataDir, "blobs/sha256")));
    const committed = last(calls, (call) => isWriteTo(call, log));
    const logSynced = last(calls, (call) => isSyncOf(call, log));
    expectOrder({ folderSynced, committed, logSynced, reply });
  } finally {
    await other.stop();
    await rm(dataDir, { recursive: true });
  }
});

test("a part file that is copied from a process that sleeps is durable before the row names it", async () => {
  const dataDir = await mkdtemp(join(tmpdir(), "stowage-fsync-"));
  await using sleepers = new AsyncDisposableStack();
  try {
    const { calls: all, replies } = await traced(dataDir, async (url) => {
      const opened = await send("POST", `${url}/v2/app/blobs/uploads/`);
      const location = new URL(opened.headers.get("location") ?? "", url);
      await send("PATCH", location.href, LARGE);
      sleepers.use(await leaveToSleeper(dataDir, basename(location.pathname)));
      await send("PATCH", location.href, LARGE);
    });
    const [before, taken] = [replies[1]!, replies[2]!];
    const calls = all.filter(({ start, end }) => start > before.end && end < taken.start);
    // What the second request brought, in a file whose name is longer.
    const written = calls.find((call) => /^\d+<.*\/uploads\/[^/>]+\.[0-9a-f]{8}>, "/.test(call.args))!;
    const [, copy = ""] = /<([^>]+)>/.exec(written.args) ?? [];
    const copied = calls.find((call) => isSyncOf(call, copy))!;
    const named = calls.find((call) => isSyncOf(call, join(dataDir, "uploads")) && call.start > copied.end)!;
    const log = join(dataDir, "registry.db-wal");
    const moved = calls.find((call) => isWriteTo(call, log) && call.start > named.end)!;
    expectOrder({ copied, named, moved, written, taken });
  } finally {
    await rm(dataDir, { recursive: true });
  }
});

test("what was collected is gone for good before its file is unlinked", async () => {
  const dataDir = await mkdtemp(join(tmpdir(), "stowage-fsync-"));
  const traceDir = await mkdtemp(join(tmpdir(), "stowage-trace-"));
  try {
    const server = await startServerGroup(dataDir);
    await send("POST", `${server.url}/v2/app/blobs/uploads/?digest=${digestOf(LARGE)}`, LARGE);
    await server.stop();
    const file = join(traceDir, "calls");
    await startGroup(dataDir, ["gc", "--grace", "0"], {}, tracing(file)).ended;
    const calls = await readTrace(file);
    const log = join(dataDir, "registry.db-wal");
    const unlinked = only(calls, (call) => call.name.startsWith("unlink") && call.args.includes("/blobs/sha256/"));
    const before = calls.filter((call) => call.end < unlinked.start);
    const collected = last(before, (call) => isWriteTo(call, log));
    const logSynced = last(before, (call) => isSyncOf(call, log));
    expectOrder({ collected, logSynced, unlinked });
  } finally {
    await rm(dataDir, { recursive: true });
    await rm(traceDir, { recursive: true });
  }
});

/** Pushes in four requests, by themselves, on a server under strace; gives what it did for each. */
async function pushTraced(dataDir: string): Promise<ReadonlyMap<string, Answered>> {
  const { calls, replies } = await traced(dataDir, async (url) => {
    const base = `${url}/v2/app`;
    await send("POST", `${base}/blobs/uploads/?digest=${digestOf(LARGE)}`, LARGE);
    const opened = await send("POST", `${base}/blobs/uploads/`);
    const other = bytesOf("other", LARGE.length);
    const location = new URL(opened.headers.get("location") ?? "", url);
    await send("PUT", `${location.href}?digest=${digestOf(other)}`, other);
    await send("POST", `${base}/blobs/uploads/?digest=${digestOf(SMALL)}`, SMALL);
    await send("PUT", `${base}/manifests/latest`, MANIFEST);
  });
  const [first, opened, second, third, fourth, ...more] = replies;
  if (!first || !opened || !second || !third || !fourth || more.length > 0) {
    throw new Error(`the trace shows ${replies.length} replies, not five`);
  }
  const between = (before: SystemCall | undefined, reply: SystemCall): Answered => ({
    calls: calls.filter(({ start }) => start > (before?.end ?? -1) && start < reply.start),
    reply,
  });
  return new Map([
    ["POST", between(undefined, first)],
    ["begun", between(first, opened)],
    ["PUT", between(opened, second)],
    ["small blob", between(second, third)],
    ["manifest", between(third, fourth)],
  ]);
}

/** Sends requests to a server under strace; gives all of its calls, and those by which it replied with success. */
async function traced(
  dataDir: string,
  work: (url: string) => Promise<unknown>,
): Promise<{ readonly calls: readonly SystemCall[]; readonly replies: readonly SystemCall[] }> {
  const traceDir = await mkdtemp(join(tmpdir(), "stowage-trace-"));
  const file = join(traceDir, "calls");
  const server = await startServerGroup(dataDir, { REGISTRY_LOG_LEVEL: "error" }, tracing(file));
  try {
    await work(server.url);
  } finally {
    await server.stop();
  }
  const calls = await readTrace(file);
  await rm(traceDir, { recursive: true });
  const replies = calls.filter((call) => SENDS.has(call.name) && /"HTTP\/1\.1 20[12] /.test(call.args));
  return { calls, replies };
}

async function send(method: string, url: string, body?: string | Uint8Array<ArrayBuffer>): Promise<Response> {
  const headers = { "content-type": url.includes("/manifests/") ? OCI_MANIFEST : "application/octet-stream" };
  const reply = await fetch(url, { method, headers, ...(body === undefined ? {} : { body }) });
  if (!reply.ok) throw new Error(`${method} ${url} answered ${reply.status}: ${await reply.text()}`);
  return reply;
}

function last(calls: readonly SystemCall[], matches: (call: SystemCall) => boolean): SystemCall {
  const found = calls.findLast(matches);
  if (!found) throw new Error(`no such call among:\n${calls.map(({ name, args }) => `${name}(${args})`).join("\n")}`);
  return found;
}

function only(calls: readonly SystemCall[], matches: (call: SystemCall) => boolean): SystemCall {
  expect(calls.filter(matches)).toHaveLength(1);
  return last(calls, matches);
}

/** Each has been carried out before the next begins. */
function expectOrder(steps: Readonly<Record<string, SystemCall>>): void {
  const names = Object.keys(steps);
  const inOrder = Object.entries(steps).toSorted(([, a], [, b]) => a.start - b.start);
  expect(inOrder.map(([name]) => name)).toEqual(names);
  for (const [at, [name, step]] of inOrder.entries()) {
    const next = inOrder[at + 1];
    if (next && step.end > next[1].start) throw new Error(`${next[0]} began before ${name} was over`);
  }
}
