/** What clients ask that cannot be had here: lazy pullers, and many connections at once. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { connect } from "node:net";
import { pushBlob } from "../support/client.ts";
import { bytesOf, digestOf } from "../support/content.ts";
import { formatRequest } from "../support/raw-request.ts";
import { sendRaw } from "../support/raw.ts";
import { startRegistry } from "../support/registry.ts";
import type { RunningRegistry } from "../support/registry.ts";
import { until } from "./support/until.ts";

const BLOB_BYTES = 32 << 20;

let registry: RunningRegistry;
let blob: Uint8Array<ArrayBuffer>;
let target: string;

beforeAll(async () => {
  registry = await startRegistry();
  blob = bytesOf("shapes", BLOB_BYTES);
  target = `/v2/shapes/blobs/${await pushBlob(registry.url, "shapes", blob)}`;
});

afterAll(() => registry[Symbol.asyncDispose]());

test("stargz and SOCI first ask for two bytes, then for the length, then for parts", async () => {
  const probe = await fetch(`${registry.url}${target}`, {
    headers: { range: "bytes=0-1", "accept-encoding": "identity" },
    redirect: "manual",
  });
  expect(probe.status).toBe(206);
  expect(probe.headers.get("content-range")).toBe(`bytes 0-1/${BLOB_BYTES}`);
  expect(probe.headers.get("accept-ranges")).toBe("bytes");
  expect(await probe.bytes()).toEqual(blob.slice(0, 2));
  const head = await fetch(`${registry.url}${target}`, { method: "HEAD" });
  expect(head.headers.get("content-length")).toBe(String(BLOB_BYTES));
  const tail = await fetch(`${registry.url}${target}`, { headers: { range: `bytes=${BLOB_BYTES - 51_200}-` } });
  expect(digestOf(await tail.bytes())).toBe(digestOf(blob.slice(-51_200)));
});

test("of sixty-four downloads at once that are all dropped early, nothing stays open", async () => {
  // The first large download starts the thread that interrupts sends, which stays.
  await (await fetch(`${registry.url}${target}`)).bytes();
  const before = await openFiles();
  const drops = Array.from({ length: 64 }, (_, number) => dropAfter(1 << 20, number * 100_000));
  for (const received of await Promise.all(drops)) expect(received).toBeGreaterThanOrEqual(1 << 20);
  await until("all are closed", async () => (await openFiles()) <= before);
  const whole = await fetch(`${registry.url}${target}`);
  expect(digestOf(await whole.bytes())).toBe(digestOf(blob));
});

test("a thousand connections for one request each leave none behind", async () => {
  const before = await openFiles();
  for (let round = 0; round < 10; round += 1) {
    const replies = await Promise.all(
      Array.from({ length: 100 }, () =>
        sendRaw(
          registry.port,
          formatRequest({ method: "HEAD", target, headers: { connection: "close" } }, "registry"),
          { timeoutMs: 30_000, wholeConnection: true },
        ),
      ),
    );
    expect(new Set(replies.map(({ status, closed }) => `${status} ${closed}`))).toEqual(new Set(["200 true"]));
  }
  await until("all are closed", async () => (await openFiles()) <= before);
});

/** Reads an open range from a place on, and breaks the connection after so many bytes; gives how many came. */
function dropAfter(bytes: number, from: number): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  let received = 0;
  const socket = connect(registry.port, "127.0.0.1", () =>
    socket.write(formatRequest({ target, headers: { range: `bytes=${from}-` } }, "registry")),
  );
  socket.on("data", (piece) => {
    received += piece.length;
    if (received < bytes) return;
    socket.destroy();
    resolve(received);
  });
  socket.on("error", reject);
  return promise;
}

async function openFiles(): Promise<number> {
  return (await readdir(`/proc/${registry.pid}/fd`)).length;
}
