/** Copies of a database that another process writes to. */
import { Database } from "bun:sqlite";
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SchemaError } from "../migrations/migrations.ts";
import { rows } from "../testing/raw-sql.ts";
import { LiveDatabase, finishCopy, openCopy } from "./snapshot.ts";
import { SqliteEngine } from "./sqlite-engine.ts";

setDefaultTimeout(60_000);

const root = await mkdtemp(join(tmpdir(), "stowage-snapshot-"));
afterAll(async () => {
  await rm(root, { recursive: true, force: true });
});

/** Rows in each of two tables, enough to make a copy last for some steps. */
const ROWS = 2000;
const PAYLOAD = 2000;

/** A data folder whose database has two tables that every transaction changes by the same amount. */
async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(root, "data-"));
  const database = new Database(join(folder, "registry.db"), { create: true });
  database.exec("pragma journal_mode = wal; pragma synchronous = off");
  for (const name of ["one", "other"]) {
    database.exec(`create table ${name} (id integer primary key, value integer not null, payload blob not null)`);
    const insert = database.prepare(`insert into ${name} values (?1, 0, randomblob(${PAYLOAD}))`);
    database.transaction(() => {
      for (let id = 0; id < ROWS; id++) insert.run(id);
    })();
  }
  database.close();
  return folder;
}

/** Moves amounts in both tables alike, as fast as it can, and makes checkpoints of every kind, until its input ends. */
function startWriter(folder: string) {
  const program = `
    import { Database } from "bun:sqlite";
    const database = new Database(${JSON.stringify(join(folder, "registry.db"))});
    database.exec("pragma busy_timeout = 5000; pragma synchronous = off; pragma wal_autocheckpoint = 100");
    const random = (below) => Math.floor(Math.random() * below);
    const changes = ["one", "other"].map((name) =>
      database.prepare("update " + name + " set value = value + ?2, payload = randomblob(${PAYLOAD}) where id = ?1"));
    let ended = false;
    (async () => { for await (const _ of Bun.stdin.stream()); ended = true; })();
    for (let at = 0; !ended; at++) {
      const amounts = Array.from({ length: 1 + random(40) }, () => random(1000));
      database.transaction(() => {
        for (const change of changes) for (const amount of amounts) change.run(random(${ROWS}), amount);
      })();
      if (at === 0) console.log("writing");
      if (random(8) === 0) database.query("pragma wal_checkpoint(" + ["passive", "full", "restart", "truncate"][random(4)] + ")").all();
      await new Promise((resolve) => setImmediate(resolve));
    }
    database.close();`;
  const child = Bun.spawn([process.execPath, "-e", program], { stdin: "pipe", stdout: "pipe", stderr: "inherit" });
  return {
    started: child.stdout.getReader().read(),
    async end() {
      await child.stdin.end();
      return await child.exited;
    },
  };
}

function sumsIn(path: string): { readonly integrity: string; readonly one: number; readonly other: number } {
  const database = new Database(path);
  try {
    const { integrity_check: integrity } = database
      .query<{ integrity_check: string }, []>("pragma integrity_check")
      .get()!;
    const sums = database
      .query<{ one: number; other: number }, []>(
        "select (select sum(value) from one) as one, (select sum(value) from other) as other",
      )
      .get()!;
    return { integrity, ...sums };
  } finally {
    database.close();
  }
}

test("each copy is the database as of one moment, whatever is written and checkpointed meanwhile", async () => {
  const folder = await makeFolder();
  const writer = startWriter(folder);
  await writer.started;
  let before = 0;
  for (let round = 0; round < 12; round++) {
    await using live = new LiveDatabase(folder);
    const copy = join(root, `copy-${round}.db`);
    await live.copyTo(copy);
    const { integrity, one, other } = sumsIn(copy);
    expect({ integrity, other }).toEqual({ integrity: "ok", other: one });
    expect(one).toBeGreaterThanOrEqual(before);
    before = one;
    await rm(copy);
  }
  expect(before).toBeGreaterThan(0);
  expect(await writer.end()).toBe(0);
});

test("while pages are copied the log of the database can begin anew", async () => {
  const folder = await makeFolder();
  await using live = new LiveDatabase(folder);
  using database = new Database(join(folder, "registry.db"));
  const copy = join(root, "anew.db");
  let steps = 0;
  const onStep = (): void => {
    for (const table of ["one", "other"])
      database.exec(`update ${table} set value = value + 1 where id % 100 = ${++steps % 2}`);
    expect(database.query("pragma wal_checkpoint(truncate)").get()).toMatchObject({ busy: 0 });
  };
  await live.copyTo(copy, { onStep });
  expect(steps).toBeGreaterThan(4);
  const { integrity, one, other } = sumsIn(copy);
  expect({ integrity, one: one > 0, other: other > 0 }).toEqual({ integrity: "ok", one: true, other: true });
});

test("a copy ends when it is told to", async () => {
  const folder = await makeFolder();
  await using live = new LiveDatabase(folder);
  const stopping = new AbortController();
  const onStep = (): void => stopping.abort(new Error("enough"));
  await expect(live.copyTo(join(root, "ended.db"), { signal: stopping.signal, onStep })).rejects.toThrow("enough");
  const database = new Database(join(folder, "registry.db")); // no reader is left that would make its log grow
  database.exec("update one set value = 1");
  expect(database.query("pragma wal_checkpoint(truncate)").get()).toMatchObject({ busy: 0 });
  database.close();
});

test("a finished copy is one file, brought up to date, without what was under way", async () => {
  const folder = join(root, "finished");
  await mkdir(folder);
  const engine = await SqliteEngine.open(join(folder, "registry.db"));
  await engine.write(() => rows("insert into lease (name, holder, until) values ('work', 'me', 1)"));
  await engine.write(() => rows("insert into repo (name, created_at) values ('team/app', 1)"));
  {
    await using live = new LiveDatabase(folder);
    await live.copyTo(join(folder, "copy.db"));
    await engine.close();
  }
  const copy = await openCopy(join(folder, "copy.db"));
  expect(await copy.read(() => rows("select * from lease"))).toEqual([]);
  expect(await copy.read(() => rows("select name from repo"))).toEqual([{ name: "team/app" }]);
  await copy.close();
  await finishCopy(join(folder, "copy.db"), join(folder, "done.db"));
  expect((await readdir(folder)).filter((name) => /copy|done/.test(name))).toEqual(["done.db"]);
});

test("a copy of a newer version is refused", async () => {
  const path = join(root, "newer.db");
  const database = new Database(path, { create: true });
  database.exec("pragma user_version = 1000");
  database.close();
  await expect(openCopy(path)).rejects.toThrow(SchemaError);
});
