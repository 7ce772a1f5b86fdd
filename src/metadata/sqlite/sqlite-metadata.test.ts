/** The metadata store on a SQLite file: the suite that every engine passes. */
import { Database } from "bun:sqlite";
import { afterAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SQLITE_MIGRATIONS } from "../migrations/migrations.ts";
import { countNext, usageBelow } from "../quota-counting.ts";
import { Metadata } from "../metadata.ts";
import { rows } from "../testing/raw-sql.ts";
import { metadataSuite } from "../testing/metadata-suite.ts";
import { sqliteOfNode } from "./binding.ts";
import { SqliteEngine } from "./sqlite-engine.ts";

const root = await mkdtemp(join(tmpdir(), "stowage-sqlite-"));
afterAll(async () => {
  await rm(root, { recursive: true, force: true });
});
let files = 0;

metadataSuite("SQLite", async (clock) => {
  const engine = await SqliteEngine.open(join(root, `${files++}.db`));
  return { store: new Metadata(engine, clock), engine };
});

metadataSuite("SQLite, alone", async (clock) => {
  const engine = await SqliteEngine.open(join(root, `${files++}.db`), { alone: true });
  return { store: new Metadata(engine, clock), engine };
});

metadataSuite("SQLite as Node brings it", async (clock) => {
  const engine = await SqliteEngine.open(join(root, `${files++}.db`), { openSqlite: sqliteOfNode });
  return { store: new Metadata(engine, clock), engine };
});

test("a database from before quotas is counted as it is", async () => {
  const path = join(root, "before-quotas.db");
  const before = new Database(path, { create: true });
  for (const step of SQLITE_MIGRATIONS.slice(0, 4)) before.exec(step);
  before.exec(`
    pragma user_version = 4;
    insert into repo (id, name, created_at) values (1, 'team/app', 0);
    insert into blob (digest, size, state, created_at, touched_at, unref_at) values ('sha256:b', 7, 'live', 0, 0, 0);
    insert into repo_blob (repo, digest, touched_at, unref_at) values (1, 'sha256:b', 0, 0);
    insert into manifest (repo, digest, media_type, size, pushed_at, touched_at, unref_at, payload)
      values (1, 'sha256:m', 'x/y', 3, 0, 0, 0, x'aabbcc');
    insert into tag (repo, name, digest, updated_at) values (1, 'latest', 'sha256:m', 0);`);
  before.close(true);
  const engine = await SqliteEngine.open(path);
  await engine.write(() =>
    rows("insert into quota (prefix, bytes, tags, repositories, counted_to) values ('team', 0, 0, 0, '')"),
  );
  expect(await engine.write(() => countNext("team"))).toBe(true);
  expect(await engine.read(() => usageBelow("team"))).toMatchObject({ bytes: 10, tags: 1, repositories: 1 });
  await engine.write(() => rows("delete from tag"));
  expect(await engine.read(() => usageBelow("team"))).toMatchObject({ bytes: 10, tags: 0, repositories: 1 });
  await engine.close();
});
