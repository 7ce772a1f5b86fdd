/**
 * What a request that is answered from memory asks of the system, in calls and not in time. It lies here because strace
 * counts them.
 */
import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pushBlob, putManifest } from "../support/client.ts";
import { bytesOf, descriptorOf, imageManifest, OCI_CONFIG, OCI_LAYER } from "../support/content.ts";
import { startServerGroup } from "../support/program.ts";
import { sendRaw } from "../support/raw.ts";
import { readWholeTrace, tracing } from "./support/system-calls.ts";
import type { SystemCall } from "./support/system-calls.ts";

setDefaultTimeout(60_000);

const REQUESTS = 500;
/** Before these are over, something may be done for the first time. */
const WARM_UP = 20;
/** What works in the background may do so much meanwhile, which is much less than once for each request. */
const IN_BACKGROUND = REQUESTS / 20;

const CONFIG = "{}";
/** Too large to lie in the database. */
const LAYER = bytesOf("layer", 50_000);

/** Waiting, and what the runtime does for its own memory and threads: it depends on the machine and on the moment. */
const OF_THE_RUNTIME = /^(?:epoll_\w+|futex|madvise|mmap|munmap|mprotect|sched_yield|rt_sig\w+|restart_syscall)$/;

/** A thread of the pool, such as one that has written lines of the log to a socket, wakes the event loop by it. */
const wakesTheLoop = ({ name, args }: SystemCall): boolean =>
  name === "write" && /^\d+<anon_inode:\[eventfd\]>/.test(args);

const isOfTheLog = ({ name, args }: SystemCall): boolean => name.startsWith("write") && /^[12]\b/.test(args);

let calls: readonly SystemCall[];

beforeAll(async () => {
  const dataDir = await mkdtemp(join(tmpdir(), "stowage-calls-"));
  const traceDir = await mkdtemp(join(tmpdir(), "stowage-trace-"));
  const file = join(traceDir, "calls");
  const server = await startServerGroup(dataDir, {}, tracing(file, "all"));
  try {
    const config = await pushBlob(server.url, "app", CONFIG);
    const layer = await pushBlob(server.url, "app", LAYER);
    const manifest = imageManifest(descriptorOf(OCI_CONFIG, CONFIG), [descriptorOf(OCI_LAYER, LAYER)]);
    await putManifest(server.url, "app", "v1", manifest);
    await askAgainAndAgain("GET", `${server.url}/v2/app/manifests/v1`);
    await askAgainAndAgain("GET", `${server.url}/v2/app/blobs/${config}`);
    await askAgainAndAgain("HEAD", `${server.url}/v2/app/blobs/${layer}`);
    await askAtOnce(server.url, "/v2/app/tags/list?n=1");
  } finally {
    await server.stop();
  }
  calls = await readWholeTrace(file);
  await rm(dataDir, { recursive: true });
  await rm(traceDir, { recursive: true });
});

/** One request after the other, on a connection that is kept. */
async function askAgainAndAgain(method: string, url: string): Promise<void> {
  for (let asked = 0; asked < WARM_UP + REQUESTS; asked++) {
    const reply = await fetch(url, { method });
    if (!reply.ok) throw new Error(`${method} ${url} answered ${reply.status}`);
    await reply.arrayBuffer();
  }
}

/** All requests in one piece. */
async function askAtOnce(url: string, path: string): Promise<void> {
  const one = `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;
  const last = one.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
  const { text } = await sendRaw(Number(new URL(url).port), one.repeat(REQUESTS - 1) + last, {
    timeoutMs: 20_000,
    wholeConnection: true,
  });
  expect(text.match(/HTTP\/1\.1 200 OK/g)).toHaveLength(REQUESTS);
}

/** From where one such request is read to where the last one is. */
function callsDuring(request: string): readonly SystemCall[] {
  const reads = calls.filter(({ name, args }) => name === "recvfrom" && args.includes(`"${request}`));
  expect(reads).toHaveLength(WARM_UP + REQUESTS);
  const [first, last] = [reads.at(-1 - REQUESTS)!, reads.at(-1)!];
  return calls.filter(({ start }) => start >= first.start && start < last.start);
}

describe.each([
  ["a manifest", "GET /v2/app/manifests", { recvfrom: 1, fcntl: 2, getpeername: 1, sendto: 1 }],
  ["a blob in the database", "GET /v2/app/blobs", { recvfrom: 1, fcntl: 2, getpeername: 1, sendto: 1 }],
  ["a blob in a file, by HEAD", "HEAD /v2/app/blobs", { recvfrom: 1, fcntl: 2, statx: 1, getpeername: 1, sendto: 1 }],
])("%s that was asked for before", (_what, request, today) => {
  test("costs the calls that it costs today, and at most one more", () => {
    const asked = callsDuring(request).filter(
      (call) => !OF_THE_RUNTIME.test(call.name) && !wakesTheLoop(call) && !isOfTheLog(call),
    );
    const each = asked.length / REQUESTS;
    const most = Object.values(today).reduce((sum, count) => sum + count, 1);
    if (each > most) throw new Error(`${each} calls for each request, more than ${most}:\n${histogram(asked)}`);
    expect(each).toBeGreaterThan(2); // else nothing was counted
  });

  test("opens, reads, writes and syncs no file", () => {
    const files = callsDuring(request).filter(
      (call) =>
        /^(?:open|creat|p?read|p?write|f(?:data)?sync|sync|sendfile)/.test(call.name) &&
        !wakesTheLoop(call) &&
        !isOfTheLog(call),
    );
    if (files.length > IN_BACKGROUND) throw new Error(`for ${REQUESTS} requests:\n${histogram(files)}`);
  });
});

test("the log's lines about requests that come together are written together", () => {
  const asked = calls.findLast(({ name, args }) => name === "recvfrom" && args.includes('"GET /v2/app/tags/list'));
  const writes = calls.filter((call) => isOfTheLog(call) && call.start > asked!.start);
  expect(writes.length).toBeGreaterThan(0);
  expect(writes.length).toBeLessThan(REQUESTS / 8); // pieces of 4 KiB, of some 14 lines each
});

/** How often each call was made, the most frequent first. */
function histogram(made: readonly SystemCall[]): string {
  const counts = Map.groupBy(made, ({ name }) => name);
  const lines = [...counts].map(([name, { length }]) => [length, name] as const).toSorted(([a], [b]) => b - a);
  return lines.map(([length, name]) => `${length} ${name}`).join("\n");
}
