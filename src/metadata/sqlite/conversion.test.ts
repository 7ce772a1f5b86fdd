/** A data folder of the last development version becomes one of this schema, with all that is in it. */
import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { scratchFolder } from "../../../test/support/scratch.ts";
import { digest } from "../../oci/digest.ts";
import { repositoryName } from "../../oci/repository-name.ts";
import { tag } from "../../oci/tag.ts";
import { SCHEMA_VERSION, SchemaError } from "../migrations/migrations.ts";
import { Metadata } from "../metadata.ts";
import { rows } from "../testing/raw-sql.ts";
import { textDigest } from "../testing/subject.ts";
import { SqliteEngine } from "./sqlite-engine.ts";

const SCHEMA_19 = await Bun.file(new URL("testing/schema-19.sql", import.meta.url)).text();

const APP = repositoryName("team/app");
const [IMAGE, INDEX, GONE, REMOVED] = [
  textDigest("image"),
  textDigest("index"),
  textDigest("gone"),
  textDigest("removed"),
];
const [LAYER, SMALL, LOOSE] = [textDigest("layer"), textDigest("small"), textDigest("loose")];
const LARGE = digest(`sha512:${"ab".repeat(64)}`);
const FOREIGN = `blake3:${"0".repeat(64)}`;
const MTIME = 1790913001488.2397;

/** A database with some of everything, as the last development version left it. */
async function oldDatabase(): Promise<string> {
  const path = join(await scratchFolder(), "registry.db");
  const old = new Database(path, { create: true, strict: true });
  old.run("pragma journal_mode = wal");
  old.exec(SCHEMA_19);
  const put = (table: string, ...all: Record<string, string | number | Uint8Array | null>[]): void => {
    for (const row of all) {
      const names = Object.keys(row);
      old
        .query(`insert into ${table} (${names.join()}) values (${names.map(() => "?").join()})`)
        .run(...Object.values(row));
    }
  };
  put("repo", { id: 7, name: "team/app", created_at: 1 }, { id: 8, name: "~8", created_at: 1 });
  const blob = { size: 5, state: "live", created_at: 1, touched_at: 2, unref_at: 3 };
  put(
    "blob",
    { ...blob, digest: LAYER, storage_key: "blobs/layer", mtime: MTIME },
    { ...blob, digest: SMALL },
    { ...blob, digest: LOOSE, state: "damaged", storage_key: "blobs/loose", mtime: 12 },
    { ...blob, digest: LARGE, storage_key: "blobs/large", mtime: 0.5 },
  );
  put("blob_inline", { digest: SMALL, payload: Buffer.from("small") });
  put("repo_blob", ...[LAYER, SMALL, LARGE].map((each) => ({ repo: 7, digest: each, touched_at: 4, unref_at: 5 })));
  const manifest = { repo: 7, media_type: "x/y", size: 3, pushed_at: 6, touched_at: 7, payload: Buffer.from("abc") };
  put(
    "manifest",
    { ...manifest, digest: IMAGE },
    { ...manifest, digest: INDEX, annotations: "{}" },
    { ...manifest, digest: textDigest("referrer"), subject: GONE, artifact_type: "a/b" },
    { ...manifest, digest: textDigest("late referrer"), subject: GONE, pushed_after: 5 },
    { ...manifest, digest: textDigest("foreign referrer"), subject: FOREIGN },
  );
  put("former_subject", { id: 5, repo: 7, digest: GONE, deleted_at: 100 });
  put("manifest_blob", ...[LAYER, SMALL].map((each) => ({ repo: 7, manifest: IMAGE, blob: each })));
  put("manifest_child", { repo: 7, parent: INDEX, child: IMAGE }, { repo: 7, parent: INDEX, child: GONE });
  put("manifest_missing", { repo: 7, manifest: IMAGE, digest: FOREIGN }, { repo: 7, manifest: INDEX, digest: GONE });
  put("job", { id: 3, kind: "remove tags", repo: 7, subject: REMOVED, begun_at: 90 });
  put("job", { id: 4, kind: "delete repository", repo: 8, subject: "team/old", begun_at: 91 });
  put("job", { id: 5, kind: "review referrers", repo: 7, subject: GONE, begun_at: 92, position: IMAGE });
  const pointed = { repo: 7, updated_at: 50 };
  put(
    "tag",
    { ...pointed, name: "latest", digest: IMAGE },
    { ...pointed, name: "v1", digest: INDEX },
    { ...pointed, name: "dead", digest: REMOVED },
  );
  old.run("update repo set tags = 2 where id = 7");
  put("tag_history", { repo: 7, name: "latest", digest: GONE, since: 10, until: 20 });
  put("tag_history", { repo: 7, name: "latest", digest: IMAGE, since: 20 });
  put("tag_history", { repo: 7, name: "dead", digest: REMOVED, since: 30 });
  put("signature", { repo: 7, manifest: IMAGE, name: "one", content: Buffer.from("signed") });
  put("pin", { repo: 7, digest: INDEX, why: "kept" });
  put("upload", {
    id: "u",
    repo: 7,
    storage_key: "uploads/u",
    algorithm: "sha256",
    received: 2,
    version: 3,
    started_at: 1,
    expires_at: 2,
    digest_so_far: SMALL,
  });
  put("upload_inline", { upload: "u", payload: Buffer.from("up") });
  put(
    "gc_queue",
    { kind: "link", repo: 7, digest: LARGE, review_after: 70 },
    { kind: "link", repo: 7, digest: LOOSE, review_after: 71 },
    { kind: "manifest", repo: 7, digest: INDEX, review_after: 72 },
    { kind: "manifest", repo: 7, digest: GONE, review_after: 73 },
  );
  put("trash", { storage_key: "blobs/old", after: 1 });
  put("account", {
    name: "alice",
    password_hash: "$",
    member_of: "[]",
    generation: "1",
    created_at: 1,
    changed_at: 1,
  });
  old.run("update revision set number = 17 where scope = 'accounts'");
  old.run("update sqlite_sequence set seq = 9 where name in ('former_subject', 'job')"); // rows were deleted since
  old.close(); // as a process that was killed: with a log
  return path;
}

test("a database of schema 19 is converted with all that is in it", async () => {
  const path = await oldDatabase();
  const tables: string[] = [];
  const engine = await SqliteEngine.open(path, { onConversion: (table) => void tables.push(table) });
  const store = new Metadata(engine, { now: () => 200 });
  const read = (text: string): Promise<readonly object[]> => engine.read(() => rows(text));
  expect(tables).toContain("manifest_blob");
  expect(existsSync(`${path}.converted`)).toBeFalse();
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(await read("pragma integrity_check")).toEqual([{ integrity_check: "ok" }]);
  expect(await read("pragma user_version")).toEqual([{ user_version: SCHEMA_VERSION }]);

  expect(await store.blobs.find(APP, LAYER)).toEqual({
    digest: LAYER,
    size: 5,
    location: { kind: "stored", storageKey: "blobs/layer", fingerprint: `5 ${MTIME}` },
    createdAt: 1,
    leasedAt: 2,
    referenced: true,
  });
  expect((await store.blobs.list({ limit: 10 })).map((blob) => [blob.digest, blob.corrupt])).toEqual(
    [LAYER, SMALL, LOOSE, LARGE].toSorted().map((each) => [each, each === LOOSE]),
  );
  expect((await store.blobs.locate(SMALL))?.kind).toBe("inline");
  expect((await store.manifests.readByTag(APP, tag("latest")))?.digest).toBe(IMAGE);
  expect((await store.manifests.findByTag(APP, tag("v1")))?.digest).toBe(INDEX);
  expect(await store.manifests.needing(LAYER, 10)).toEqual([{ repository: APP, digest: IMAGE, tags: [tag("latest")] }]);
  expect((await store.tags.list(APP, { limit: 10 })).map(({ name }) => String(name))).toEqual(["latest", "v1"]);
  expect(await store.tags.history(APP, tag("latest"), 10)).toEqual([
    { digest: IMAGE, since: 20, until: undefined },
    { digest: GONE, since: 10, until: 20 },
  ]);
  expect(await store.tags.history(APP, tag("dead"), 10)).toEqual([{ digest: REMOVED, since: 30, until: 90 }]);
  const usage = await store.repositories.usageOf(APP);
  expect(usage).toMatchObject({ tags: 2, manifests: 5 });
  expect(await store.signatures.list(APP, IMAGE)).toMatchObject([{ name: "one" }]);
  expect(await store.pins.list(APP, { limit: 10 })).toEqual([{ digest: INDEX, why: "kept" }]);
  expect(await store.uploads.find(APP, "u")).toMatchObject({ partKey: "uploads/u", received: 2, digestSoFar: SMALL });
  expect(await store.jobs.list({ limit: 10 })).toMatchObject([
    { kind: "delete repository", repo: 8, subject: "team/old" },
    { kind: "review referrers", repo: 7, subject: GONE, position: IMAGE },
  ]);
  expect((await store.accounts.find("alice"))?.generation).toBe("1");
  expect(await read("select number from revision order by scope")).toEqual([{ number: 17 }, { number: 0 }]);
  expect(await read("select digest from manifest_missing order by digest")).toEqual([
    { digest: FOREIGN },
    { digest: GONE },
  ]);

  expect(await read("select name, seq from sqlite_sequence where name <> 'manifest' order by name")).toEqual([
    { name: "former_subject", seq: 9 },
    { name: "job", seq: 9 },
  ]);

  // What waits for garbage collection, and what a deleted subject holds.
  expect(await store.collection.backlog()).toMatchObject({ entries: 4, nextReviewAt: 70 });
  const rules = { leaseMs: 0, graceMs: 0, undoMs: 150, freshMs: 0, untagged: false };
  await store.collection.enqueueUntagged(undefined, 100);
  const { taken } = await store.collection.collect(rules, undefined, { due: false, limit: 100 });
  expect(taken.map((each) => `${each.kind} ${each.digest}`).toSorted()).toEqual(
    [`link ${LARGE}`, `blob ${LARGE}`, `blob ${LOOSE}`].toSorted(),
  );
  await store.close();
});

test("a conversion that ended early is begun again", async () => {
  const path = await oldDatabase();
  await Bun.write(`${path}.converted`, "half of a database");
  const engine = await SqliteEngine.open(path, { alone: true });
  expect(await engine.read(() => rows("select name from repo where id = 7"))).toEqual([{ name: "team/app" }]);
  await engine.close();
});

test("a database that cannot be converted is left as it is", async () => {
  const path = await oldDatabase();
  const old = new Database(path);
  old.run("pragma foreign_keys = off");
  old.run("delete from blob where digest = ?", [LAYER]);
  old.close();
  await expect(SqliteEngine.open(path)).rejects.toThrow();
  const after = new Database(path);
  expect(after.query("select count(*) as n from manifest").get()).toEqual({ n: 5 });
  expect(after.query("pragma user_version").get()).toEqual({ user_version: 19 });
  after.close();
});

test("a database of a version before that is refused", async () => {
  const path = join(await scratchFolder(), "registry.db");
  const old = new Database(path, { create: true });
  old.exec("create table repo (id integer primary key); pragma user_version = 18");
  old.close();
  await expect(SqliteEngine.open(path)).rejects.toThrow(SchemaError);
});
