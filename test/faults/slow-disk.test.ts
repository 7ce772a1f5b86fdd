/** A disk that takes its time: everything goes as it should, and what a fast sender sends waits outside of the memory. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { digestOf } from "../support/content.ts";
import { RepositoryClient } from "../support/repository-client.ts";
import { scratchFolder } from "../support/scratch.ts";
import type { Watcher } from "./support/watched-drivers.ts";
import { openWatchedRegistry } from "./support/watched-registry.ts";
import { Workload } from "./support/workload.ts";

setDefaultTimeout(120_000);

const scratch = await scratchFolder();
const MIB = 1024 * 1024;

const slow: Watcher = async (call, make) => {
  if (call !== "database.read") await sleep(5);
  return await make();
};

test("when every call takes its time, several clients at once get what they get from a fast one", async () => {
  await using registry = await openWatchedRegistry(await mkdtemp(join(scratch, "slow-")), {
    inlineBytes: 0,
    watch: slow,
  });
  const { url } = registry;
  const work = async (client: string): Promise<void> => {
    const workload = new Workload(client);
    expect(await workload.run({ url })).toEqual([]);
    expect(await workload.finish({ url })).toEqual([]);
  };
  await Promise.all(["one", "two", "three"].map(work));
  expect(await registry.findings()).toEqual([]);
});

test("a fast sender waits for the disk: what is sent and not yet written is bounded", async () => {
  const total = 96 * MIB;
  /** What the kernel's buffers on both sides and Bun's hold, with room to spare. */
  const bound = 24 * MIB;
  const piece = Buffer.alloc(MIB, "0123456789abcdef");
  let sent = 0;
  let written = 0;
  let most = 0;
  const watch: Watcher = async (call, make, bytes = 0) => {
    if (call !== "part.append") return await make();
    await sleep(1);
    most = Math.max(most, sent - written);
    written += bytes;
    return await make();
  };
  await using registry = await openWatchedRegistry(await mkdtemp(join(scratch, "sender-")), { watch });
  const client = new RepositoryClient(registry.url, "team/app");
  const begun = (await client.send("POST", "blobs/uploads/")).headers.get("location") ?? "";
  const { port, hostname } = new URL(registry.url);
  const socket = connect(Number(port), hostname);
  const answered = new Promise<string>((resolve) => socket.once("data", (bytes: Buffer) => resolve(bytes.toString())));
  socket.write(`PATCH ${begun} HTTP/1.1\r\nHost: x\r\nContent-Length: ${total}\r\n\r\n`);
  while (sent < total) {
    if (!socket.write(piece)) await new Promise((drained) => socket.once("drain", drained));
    sent += piece.length;
  }
  expect(await answered).toStartWith("HTTP/1.1 202 ");
  socket.destroy();
  expect(written).toBe(total);
  expect(most).toBeGreaterThan(MIB); // or the sender was not the faster one
  expect(most).toBeLessThan(bound);
  const digest = digestOf(Buffer.concat(Array.from({ length: total / MIB }, () => piece)));
  expect((await client.send("PUT", `${begun}?digest=${digest}`)).status).toBe(201);
});
