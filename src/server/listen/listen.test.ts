/** What the access log says of files that cannot be opened when their response is sent. */
import { afterAll, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Access } from "../../observe/access-log.ts";
import { silentLogger } from "../../observe/logger.ts";
import { listen } from "./listen.ts";
import type { Reply } from "../http/reply.ts";

const folder = await mkdtemp(join(tmpdir(), "stowage-listen-"));
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

const SIZE = 100_000;

test("the access log has the status that a client got when the file could not be opened", async () => {
  const path = join(folder, "there");
  await writeFile(path, new Uint8Array(SIZE));
  const logged: Access[] = [];
  const handle = (request: Request): Reply => ({
    status: 200,
    headers: { "content-length": String(SIZE) },
    body: {
      kind: "file",
      path: request.url.endsWith("/there") ? path : join(folder, "gone"),
      range: { start: 0, end: SIZE - 1 },
    },
  });
  const logs = { log: silentLogger(), access: (access: Access) => void logged.push(access) };
  const listening = await listen({ kind: "tcp", hostname: "127.0.0.1", port: 0 }, handle, logs);
  const names = ["there", "gone", "there", "gone", "there"];
  const replies = await Promise.all(names.map((name) => fetch(`${listening.url}/${name}`)));
  const sizes = await Promise.all(replies.map(async (reply) => (await reply.arrayBuffer()).byteLength));
  expect(replies.map(({ status }) => status)).toEqual([200, 404, 200, 404, 200]);
  expect(sizes.filter((size) => size === SIZE)).toHaveLength(3);
  await listening.stop();
  await nextTurn();
  const lines = logged.map(({ answered: { uri, status, written } }) => `${uri} ${status} ${written}`).toSorted();
  expect(lines).toEqual(["/gone 404 0", "/gone 404 0", ...Array.from({ length: 3 }, () => `/there 200 ${SIZE}`)]);
});
