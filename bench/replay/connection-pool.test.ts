import { afterAll, expect, test } from "bun:test";
import type { Socket } from "bun";
import { ConnectionPool } from "./connection-pool.ts";

const sockets: Socket[] = [];
const server = Bun.listen({
  hostname: "127.0.0.1",
  port: 0,
  socket: { open: (socket) => void sockets.push(socket), data: () => undefined },
});
afterAll(() => server.stop(true));

test("a connection is used again, unless it is busy or was closed meanwhile", async () => {
  using pool = await ConnectionPool.open(server.port);
  const first = await pool.take();
  const second = await pool.take();
  expect(second).not.toBe(first);
  pool.give(first);
  expect(await pool.take()).toBe(first);

  pool.give(first);
  for (const socket of sockets) socket.end();
  while (first.isOpen) await new Promise(setImmediate);
  const fresh = await pool.take();
  expect(fresh).not.toBe(first);
  expect(fresh.isOpen).toBe(true);
});

test("a pool that is closed closes what is in use", async () => {
  const pool = await ConnectionPool.open(server.port);
  const connection = await pool.take();
  const asked = connection.request(200, "GET", "/never-answered");
  pool[Symbol.dispose]();
  await expect(asked).rejects.toThrow("closed");
  await expect(pool.take()).rejects.toThrow("closed");
});
