/** The metadata store in memory. */
import { expect, spyOn, test } from "bun:test";
import initSqlJs from "sql.js";
import { Metadata } from "../metadata.ts";
import { rows } from "../testing/raw-sql.ts";
import { metadataSuite } from "../testing/metadata-suite.ts";
import { MemoryEngine } from "./memory-engine.ts";

metadataSuite("memory", async (clock) => {
  const engine = await MemoryEngine.open();
  return { store: new Metadata(engine, clock), engine };
});

test("two engines in memory share nothing", async () => {
  const [one, other] = [await MemoryEngine.open(), await MemoryEngine.open()];
  await one.write(() => rows("insert into repo (name, created_at) values ('a', 1)"));
  expect(await other.read(() => rows("select * from repo"))).toEqual([]);
});

test("values are bound by their numbers, not by where those stand first", async () => {
  const engine = await MemoryEngine.open();
  expect(await engine.read(() => rows("select $2 as second, $1 as first, $2 as again", "one", "two"))).toEqual([
    { second: "two", first: "one", again: "two" },
  ]);
});

test("when the work throws, nothing of it is kept", async () => {
  const engine = await MemoryEngine.open();
  const failing = engine.write(function* () {
    yield* rows("insert into repo (name, created_at) values ('a', 1)");
    throw new Error("on purpose");
  });
  await expect(failing).rejects.toThrow("on purpose");
  expect(await engine.read(() => rows("select * from repo"))).toEqual([]);
  await engine.write(() => rows("insert into repo (name, created_at) values ('b', 1)"));
  expect(await engine.read(() => rows("select name from repo"))).toEqual([{ name: "b" }]);
});

test("only the first engine of a process runs the migrations", async () => {
  await MemoryEngine.open();
  const { Database } = await initSqlJs();
  const run = spyOn(Database.prototype, "run");
  try {
    await MemoryEngine.open();
    expect(run).not.toHaveBeenCalled();
  } finally {
    run.mockRestore();
  }
});
