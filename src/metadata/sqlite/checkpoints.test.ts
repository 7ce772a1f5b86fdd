/** The log of a database stays small, whatever is written, and only the checkpoint thread waits for that. */
import { Database } from "bun:sqlite";
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { rows } from "../testing/raw-sql.ts";
import { sqliteOfBun, sqliteOfNode } from "./binding.ts";
import { SqliteEngine } from "./sqlite-engine.ts";

setDefaultTimeout(120_000);

const root = await mkdtemp(join(tmpdir(), "stowage-checkpoints-"));
afterAll(() => rm(root, { recursive: true, force: true }));

const DUE_PAGES = 50;
/** About three pages. */
const NAME = "x".repeat(10_000);

/** Commits `count` times, one after the other, and gives the size that the log then has in bytes. */
async function commit(engine: SqliteEngine, path: string, count: number): Promise<number> {
  for (let at = 0; at < count; at++) {
    await engine.write(() =>
      rows("insert into repo (name, created_at) values ($1, $2)", crypto.randomUUID() + NAME, at),
    );
  }
  return (await stat(`${path}-wal`)).size;
}

/** Commits until that makes the log no larger: it was begun anew. A log that never is ends the test by its time limit. */
async function commitUntilAnew(engine: SqliteEngine, path: string): Promise<void> {
  for (let before = -1, log = 0; log !== before;) {
    before = log;
    log = await commit(engine, path, 100);
  }
}

for (const [runtime, openSqlite] of Object.entries({ Bun: sqliteOfBun, Node: sqliteOfNode })) {
  test(`the log is begun anew again and again, with ${runtime}'s SQLite on the connection that serves`, async () => {
    const path = join(root, `${runtime}.db`);
    const engine = await SqliteEngine.open(path, { checkpointPages: DUE_PAGES, openSqlite });
    for (let times = 0; times < 5; times++) await commitUntilAnew(engine, path);
    const count = await repositoriesIn(engine);
    expect((await stat(path)).size).toBeGreaterThan((count * NAME.length) / 3); // where they went
    await engine.close();
    expect(new Database(path).query("select count(*) as count from repo").get()).toEqual({ count });
  });
}

test("beside a reader of an old state the log grows, commits go on, and it is begun anew and truncated afterwards", async () => {
  const path = join(root, "reader.db");
  const engine = await SqliteEngine.open(path, { checkpointPages: DUE_PAGES });
  const reader = new Database(path);
  reader.exec("begin");
  expect(reader.query("select count(*) as count from repo").get()).toEqual({ count: 0 });
  const size = await commit(engine, path, 500);
  expect(size).toBeGreaterThan(500 * NAME.length);
  expect(reader.query("select count(*) as count from repo").get()).toEqual({ count: 0 });
  reader.exec("rollback");
  reader.close();
  await commitUntilAnew(engine, path);
  expect((await stat(`${path}-wal`)).size).toBeLessThan(size / 2); // it gave its room back
  await engine.close();
});

test("two who have the database open keep its log small together", async () => {
  const path = join(root, "two.db");
  const engines = [
    await SqliteEngine.open(path, { checkpointPages: DUE_PAGES }),
    await SqliteEngine.open(path, { checkpointPages: DUE_PAGES }),
  ];
  await Promise.all(engines.map((engine) => commitUntilAnew(engine, path)));
  for (const engine of engines) await engine.close();
});

test("a database that no other process can open makes its checkpoints by itself", async () => {
  const path = join(root, "alone.db");
  const engine = await SqliteEngine.open(path, { alone: true });
  await commitUntilAnew(engine, path);
  await engine.close();
});

async function repositoriesIn(engine: SqliteEngine): Promise<number> {
  const [row] = await engine.read(() => rows<{ readonly count: number }>("select count(*) as count from repo"));
  return row?.count ?? 0;
}
