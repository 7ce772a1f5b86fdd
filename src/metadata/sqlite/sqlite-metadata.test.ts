/** The metadata store on a SQLite file: the suite that every engine passes. */
import { Database } from "bun:sqlite";
import { afterAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { repositoryName } from "../../oci/repository-name.ts";
import { tag } from "../../oci/tag.ts";
import { SQLITE_MIGRATIONS } from "../migrations/migrations.ts";
import { countNext, usageBelow } from "../quota-counting.ts";
import { Metadata } from "../metadata.ts";
import { rows } from "../testing/raw-sql.ts";
import { textDigest } from "../testing/subject.ts";
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

test("a database from before tags were counted keeps its tags, its history and what waits for a deleted subject", async () => {
  const path = join(root, "before-tag-counts.db");
  const before = new Database(path, { create: true });
  for (const step of SQLITE_MIGRATIONS.slice(0, 18)) before.exec(step);
  const [image, gone] = [textDigest("image"), textDigest("gone")];
  const orphans = [textDigest("one"), textDigest("two")].toSorted();
  before.exec(`
    pragma user_version = 18;
    insert into repo (id, name, created_at) values (7, 'team/app', 0);`);
  const put = before.prepare(`
    insert into manifest (repo, digest, media_type, size, pushed_at, touched_at, payload, subject, orphaned_at)
    values (7, ?, 'x/y', 3, 0, 0, x'aabbcc', ?, ?)`);
  put.run(image, null, null);
  put.run(textDigest("untagged"), null, null);
  for (const orphan of orphans) put.run(orphan, gone, 100);
  put.run(textDigest("pushed after that"), gone, null);
  put.run(textDigest("of one that never was here"), textDigest("never"), null);
  put.run(textDigest("beside the image"), image, null);
  for (const name of ["latest", "v1"]) {
    before.run("insert into tag (repo, name, digest, updated_at) values (7, ?, ?, 5)", [name, image]);
    before.run("insert into tag_history (repo, name, digest, since) values (7, ?, ?, 5)", [name, image]);
  }
  before.close(true);

  const engine = await SqliteEngine.open(path);
  const clock = { now: () => 150 };
  const store = new Metadata(engine, clock);
  const app = repositoryName("team/app");
  const read = (text: string): Promise<readonly object[]> => engine.read(() => rows(text));
  expect(await read("pragma integrity_check")).toEqual([{ integrity_check: "ok" }]);
  expect(await read("pragma foreign_key_check")).toEqual([]);
  expect(await read("select digest, tags from tag_count")).toEqual([{ digest: image, tags: 2 }]);
  expect(await store.tags.list(app, { limit: 10 })).toEqual(
    ["latest", "v1"].map((name) => ({ name: tag(name), isLive: true, digest: image, updatedAt: 5 })),
  );
  expect((await store.repositories.usageOf(app))?.tags).toBe(2);

  const rules = { leaseMs: 0, graceMs: 0, undoMs: 50, freshMs: 0, untagged: false };
  await store.collection.enqueueUntagged(undefined, 100);
  const { taken } = await store.collection.collect(rules, undefined, { due: false, limit: 100 });
  expect(taken.map(({ digest }) => digest).toSorted()).toEqual(orphans);
  expect(await store.manifests.delete(app, image)).toBe("done");
  expect((await store.tags.list(app, { limit: 10 })).filter(({ isLive }) => isLive)).toEqual([]);
  expect((await store.repositories.usageOf(app))?.tags).toBe(0);
  expect(await store.tags.history(app, tag("v1"), 10)).toEqual([{ digest: image, since: 5, until: 150 }]);
  await engine.close();
});
