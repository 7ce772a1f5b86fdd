/** Holders of uploads on several machines: the server tells at once that one is gone. */
import { expect, test } from "bun:test";
import { setTimeout as sleep } from "node:timers/promises";
import { SessionHolders } from "../../src/metadata/postgres/session-holders.ts";
import { poolOf, sharedServer } from "./support/postgres-server.ts";

const END_SESSIONS = `
  select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and pid <> pg_backend_pid()
    and database = (select oid from pg_database where datname = current_database())`;

test("a holder runs while its connection is there, and again once it has another one", async () => {
  const server = await sharedServer();
  const url = await server.createDatabase();
  const [here, there] = [await poolOf(url, 3), await poolOf(url, 3)];
  const [one, other] = [new SessionHolders(here), new SessionHolders(there)];
  const holder = await one.announce();
  const [asked, askedThere] = await Promise.all([one.fateOf(holder.id), other.fateOf(holder.id)]);
  expect([asked, askedThere]).toEqual(["runs", "runs"]);

  await server.query(END_SESSIONS, new URL(url).pathname.slice(1));
  while ((await other.fateOf(holder.id)) === "runs") await sleep(20);
  while ((await other.fateOf(holder.id)) !== "runs") await sleep(20); // it may still write

  await holder[Symbol.asyncDispose]();
  while ((await other.fateOf(holder.id)) === "runs") await sleep(20);
  await Promise.all([here.close(), there.close()]);
});

test("a holder that has no lock is left to its lease", async () => {
  const pool = await poolOf(await (await sharedServer()).createDatabase(), 2);
  expect(await new SessionHolders(pool).fateOf("00000000-0000-4000-8000-000000000000")).toBe("runs");
  await pool.close();
});

test("a holder that cannot connect is not announced", async () => {
  const pool = await poolOf("postgres://stowage@127.0.0.1:1/none", 2);
  expect(new SessionHolders(pool).announce()).rejects.toThrow();
  await pool.close();
});
