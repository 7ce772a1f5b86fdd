/** `stowage migrate` between all pairs of database and store: what comes over is all, and nothing is lost on the way. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { MigrationRun, openTarget } from "../../src/cli/migration-run.ts";
import { openSource } from "../../src/cli/registry-source.ts";
import { settingsFrom } from "../../src/cli/settings-options.ts";
import {
  copyFromPostgres,
  emptyPostgres,
  isUsed,
  loadIntoPostgres,
} from "../../src/metadata/postgres/database-copy.ts";
import { COPIED_TABLES, pagesOf } from "../../src/metadata/copied-tables.ts";
import type { TableFile } from "../../src/metadata/copied-tables.ts";
import { openPostgres } from "../../src/metadata/postgres/open-postgres.ts";
import type { SqlEngine, Transaction } from "../../src/metadata/sql.ts";
import { CopyFile } from "../../src/metadata/sqlite/copy-file.ts";
import { sharedServer } from "./support/postgres-server.ts";
import { BACKUP_LEASE } from "../../src/metadata/leases.ts";
import { createRegistry } from "../../src/create-registry.ts";
import { TreeWriter } from "../adoption/support/tree-writer.ts";
import { pushBlob, pushImage } from "../support/client.ts";
import { bytesOf } from "../support/content.ts";
import { queryFolder } from "../support/data-folder.ts";
import { runProgram, startGroup } from "../support/program.ts";
import { scratchFolder } from "../support/scratch.ts";
import { MIN_PART_BYTES } from "../../src/storage/s3-options.ts";
import { FaultyS3 } from "../s3/support/faulty-s3.ts";
import { startS3 } from "../s3/support/s3-server.ts";
import { fillPlace, newPlace, openPlace, rowsIn, servedFrom } from "./support/places.ts";
import type { Engine, Place, Store } from "./support/places.ts";

setDefaultTimeout(120_000);

const s3 = await startS3();
const root = await scratchFolder();

function place(engine: Engine, store: Store): Promise<Place> {
  return newPlace(root, s3, engine, store);
}

function migrate(from: string, to: string, ...more: readonly string[]) {
  return runProgram(root, ["migrate", "--from", from, "--to", to, ...more]);
}

/** The settings of `config` in another file, with another data folder. */
async function copyWithOtherFolder(config: string, to: string): Promise<void> {
  const text = await readFile(config, "utf8");
  await writeFile(to, text.replace(/"rootdirectory":"[^"]*"/, `"rootdirectory":"${to}.data"`));
}

test.each([
  [1, "postgres", "s3"],
  [2, "postgres", "files"],
  [3, "sqlite", "s3"],
] as const)(
  "a registry (%p) that goes to %p and %p and back has the same rows and bytes",
  async (seed, engine, store) => {
    const [first, there, back] = [
      await place("sqlite", "files"),
      await place(engine, store),
      await place("sqlite", "files"),
    ];
    await fillPlace(first, seed);
    expect(await migrate(first.readOnly, there.config)).toMatchObject({ exitCode: 0, stderr: "" });
    expect(await runProgram(there.folder, ["check", "--deep", "--config", there.config])).toMatchObject({
      exitCode: 0,
    });
    const result = await migrate(there.readOnly, back.config);
    expect(result).toMatchObject({ exitCode: 0, stderr: "" });
    expect(await runProgram(back.folder, ["check", "--deep", "--config", back.config])).toMatchObject({ exitCode: 0 });
    expect(withoutCommands(rowsIn(back))).toEqual(withoutCommands(rowsIn(first)));
  },
);

/** Without what the commands themselves record. */
function withoutCommands(tables: Readonly<Record<string, readonly unknown[]>>) {
  return { ...tables, audit: [], last_run: [] };
}

test("a migration of a registry that takes pushes copies blobs and does not finish; what is pushed then comes over too", async () => {
  const [from, to] = [await place("sqlite", "files"), await place("postgres", "s3")];
  await fillPlace(from, 11);
  const first = await migrate(from.config, to.config, "--json");
  expect(first.exitCode).toBe(3);
  expect(JSON.parse(first.stdout)).toMatchObject({ result: "not finished", missing: 0 });
  await using source = await openPlace(from);
  await using listener = await source.listen({ otherSites: "served" });
  const image = await pushImage(listener.url, "team/late", "v1", "late");
  await pushBlob(listener.url, "team/late", bytesOf("late and large", 40_000));
  // A server of the target would not know of it yet, and takes no bucket of a migration that is not done.
  expect(await runProgram(to.folder, ["status", "--config", to.config])).toMatchObject({
    exitCode: 1,
    stderr: expect.stringContaining("the bucket belongs to another database"),
  });
  expect(await migrate(from.readOnly, to.config)).toMatchObject({ exitCode: 0 });
  await using target = await openPlace(to);
  await using served = await target.listen({ otherSites: "served" });
  expect(await (await fetch(`${served.url}/v2/team/late/manifests/v1`)).text()).toBe(image.body);
  await pushImage(served.url, "team/late", "v2", "later"); // ids go on where they were
});

test("a migration that is killed before its first blob brings over what was pushed since", async () => {
  const from = await place("postgres", "files");
  await fillPlace(from, 12);
  await using source = await openPlace(from);
  await using listener = await source.listen({ otherSites: "served" });
  await using proxied = await FaultyS3.open(s3.url);
  const slow = await newPlace(
    root,
    { options: (more) => s3.options({ ...more, endpoint: proxied.url }) },
    "postgres",
    "s3",
  );
  const held = proxied.held("PUT object");
  const migration = startGroup(root, ["migrate", "--from", from.readOnly, "--to", slow.config]);
  await held;
  await migration.kill();
  proxied.reset();
  await pushImage(listener.url, "app", "pushed-meanwhile", "meanwhile");
  expect(await migrate(from.readOnly, slow.config)).toMatchObject({ exitCode: 0 });
  await using target = await openPlace(slow);
  await using served = await target.listen({ otherSites: "served" });
  expect((await fetch(`${served.url}/v2/app/manifests/pushed-meanwhile`)).status).toBe(200);
});

test("a migration that is killed in the middle of a large blob goes on, and leaves nothing over", async () => {
  await using proxy = await FaultyS3.open(s3.url);
  const from = await place("sqlite", "files");
  const to = await newPlace(root, { options: (more) => s3.options({ ...more, endpoint: proxy.url }) }, "sqlite", "s3");
  await fillPlace(from, 13);
  const large = bytesOf("of several parts", 2 * MIN_PART_BYTES + 12_345);
  await using source = await openPlace(from);
  await using listener = await source.listen({ otherSites: "served" });
  const digest = await pushBlob(listener.url, "app", large);
  const dying = proxy.held("POST complete");
  const migration = startGroup(root, ["migrate", "--from", from.readOnly, "--to", to.config]);
  await dying;
  await migration.kill();
  proxy.reset();
  expect(await runProgram(to.folder, ["status", "--config", to.config])).toMatchObject({ exitCode: 1 });
  queryFolder(from.folder, "delete from lease where name = ?", BACKUP_LEASE); // it ends by itself after a minute

  expect(await migrate(from.readOnly, to.config)).toMatchObject({ exitCode: 0 });
  const stored = rowsIn(from)["blob"]?.filter((row) => (row as { storage_key: boolean }).storage_key).length ?? 0;
  expect(proxy.calls.filter((call) => call === "PUT object" || call === "POST complete").length).toBeLessThan(
    stored + 2,
  );
  expect(await runProgram(to.folder, ["check", "--deep", "--config", to.config])).toMatchObject({ exitCode: 0 });
  await using target = await openPlace(to);
  await using served = await target.listen({ otherSites: "served" });
  expect(await (await fetch(`${served.url}/v2/app/blobs/${digest}`)).bytes()).toEqual(large);
  expect(proxy.count("POST create")).toBeGreaterThan(0);
});

test("rows that were written before the source was known not to have changed are written anew", async () => {
  const [from, to] = [await place("sqlite", "files"), await place("postgres", "s3")];
  await fillPlace(from, 20);
  const ends = {
    from: settingsFrom({ config: from.readOnly }, {}).settings,
    to: settingsFrom({ config: to.config }, {}).settings,
  };
  {
    await using source = await openSource(ends.from);
    await using target = await openTarget(ends.to);
    const dying: typeof source = {
      ...source,
      async takeSnapshot(...given) {
        const isUnchanged = await source.takeSnapshot(...given);
        let asked = 0;
        return async () => {
          if (++asked > 1) throw new Error("killed"); // the first time was before the rows were written
          return await isUnchanged();
        };
      },
    };
    await expect(new MigrationRun(ends, dying, target).run()).rejects.toThrow("killed");
  }
  {
    await using served = await servedFrom(from);
    await pushImage(served.url, "app", "pushed-meanwhile", "meanwhile");
  }
  expect(await runProgram(to.folder, ["status", "--config", to.config])).toMatchObject({ exitCode: 1 });
  expect(await migrate(from.readOnly, to.config)).toMatchObject({ exitCode: 0 });
  await using target = await servedFrom(to);
  expect((await fetch(`${target.url}/v2/app/manifests/pushed-meanwhile`)).status).toBe(200);
});

test("a database that something else made in the target is not taken for that of the migration", async () => {
  const [from, to] = [await place("sqlite", "files"), await place("sqlite", "s3")];
  await fillPlace(from, 21);
  expect(await migrate(from.config, to.config)).toMatchObject({ exitCode: 3 });
  await expect(openPlace(to)).rejects.toThrow("belongs to another database"); // a server that is started too early
  expect(await migrate(from.readOnly, to.config)).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining("not empty, it holds"),
  });
});

test("a blob that goes between two runs and comes again before the third comes over", async () => {
  const [from, to] = [await place("sqlite", "files"), await place("sqlite", "s3")];
  await fillPlace(from, 22);
  const push = async (): Promise<string> => {
    await using served = await servedFrom(from);
    return await pushBlob(served.url, "app", bytesOf("comes and goes", 30_000));
  };
  const digest = await push();
  expect(await migrate(from.config, to.config)).toMatchObject({ exitCode: 3 });
  queryFolder(from.folder, "delete from repo_blob where blob = (select id from blob where digest = ?)", digest);
  queryFolder(from.folder, "delete from blob where digest = ?", digest); // as if it was collected
  expect(await migrate(from.config, to.config)).toMatchObject({ exitCode: 3 });
  await push();
  expect(await migrate(from.readOnly, to.config)).toMatchObject({ exitCode: 0 });
  expect(await runProgram(to.folder, ["check", "--deep", "--config", to.config])).toMatchObject({ exitCode: 0 });
});

test("an adopted registry is migrated to another folder in two runs", async () => {
  const [tree, from, to] = [
    new TreeWriter(join(root, "adopted")),
    await place("sqlite", "files"),
    await place("sqlite", "files"),
  ];
  tree.image("app", "1", ["v1"]);
  {
    await using registry = await createRegistry({ storage: { folder: tree.root, adopts: true } });
    await registry.adoptInBackground(new AbortController().signal);
  }
  const settings = (await readFile(from.readOnly, "utf8")).replaceAll(from.folder, tree.root);
  await writeFile(from.readOnly, settings);
  expect(await migrate(tree.root, to.config)).toMatchObject({ exitCode: 3 });
  expect(await migrate(from.readOnly, to.config)).toMatchObject({ exitCode: 0 });
  expect(await runProgram(to.folder, ["check", "--deep", "--config", to.config])).toMatchObject({ exitCode: 0 });
  await using served = await servedFrom(to);
  expect((await fetch(`${served.url}/v2/app/manifests/v1`)).status).toBe(200);
});

test("a registry in a bucket gets another database, and its blobs stay where they are", async () => {
  const from = await place("sqlite", "s3");
  await fillPlace(from, 19);
  const to = await place("postgres", "s3");
  const { s3: bucket } = (JSON.parse(await readFile(from.config, "utf8")) as { storage: { s3: object } }).storage;
  const settings = JSON.parse(await readFile(to.config, "utf8")) as { storage: object };
  await writeFile(to.config, JSON.stringify({ ...settings, storage: { ...settings.storage, s3: bucket } }));
  expect(await migrate(from.readOnly, to.config)).toMatchObject({
    exitCode: 0,
    stdout: expect.stringContaining("End the servers of the source first"),
  });
  expect(await runProgram(to.folder, ["check", "--deep", "--config", to.config])).toMatchObject({ exitCode: 0 });
  expect(await runProgram(from.folder, ["status", "--config", from.config])).toMatchObject({
    exitCode: 1,
    stderr: expect.stringContaining("the bucket belongs to another database"),
  });
});

test("a blob whose bytes are wrong in the source is named, and marked in the target", async () => {
  const [from, to] = [await place("postgres", "files"), await place("sqlite", "s3")];
  let digest = "";
  {
    await using source = await openPlace(from);
    await using listener = await source.listen({ otherSites: "served" });
    digest = await pushBlob(listener.url, "app", bytesOf("to be harmed", 30_000));
  }
  const hex = digest.slice("sha256:".length);
  const parent = join(from.folder, "blobs/sha256", hex.slice(0, 2));
  const [name = ""] = await readdir(parent);
  await writeFile(join(parent, name), bytesOf("other bytes", 30_000));
  const result = await migrate(from.readOnly, to.config);
  expect(result.exitCode).toBe(1);
  expect(result.stdout).toContain(`wrong content   ${digest}`);
  await using target = await openPlace(to);
  await using served = await target.listen({ otherSites: "served" });
  expect((await fetch(`${served.url}/v2/app/blobs/${digest}`)).status).toBe(404);
  expect(await pushBlob(served.url, "app", bytesOf("to be harmed", 30_000))).toBe(digest);
  expect((await fetch(`${served.url}/v2/app/blobs/${digest}`)).status).toBe(200);
});

test("a blob whose bytes in the database are wrong is named and counted", async () => {
  const [from, to] = [await place("sqlite", "files"), await place("sqlite", "files")];
  let digest = "";
  {
    await using served = await servedFrom(from);
    digest = await pushBlob(served.url, "app", bytesOf("small", 100));
  }
  queryFolder(from.folder, "update blob set payload = zeroblob(100) where digest = ?", digest);
  const result = await migrate(from.readOnly, to.config);
  expect(result.exitCode).toBe(1);
  expect(result.stdout).toContain(`wrong content   ${digest}`);
});

test("a target with a registry, the source itself, and a target that cannot be reached are refused in words", async () => {
  const [from, used] = [await place("sqlite", "files"), await place("sqlite", "files")];
  await fillPlace(from, 14);
  await fillPlace(used, 15);
  const [usedPostgres, usedBucket] = [await place("postgres", "files"), await place("sqlite", "s3")];
  await fillPlace(usedPostgres, 16);
  await fillPlace(usedBucket, 17);
  for (const [to, words] of [
    [used.config, "not empty, it holds"],
    [usedPostgres.config, "not empty, it holds"],
    [usedBucket.config, "not empty, it holds"],
    [from.config, "the same database"],
  ] as const) {
    const result = await migrate(from.readOnly, to);
    expect(result).toMatchObject({ exitCode: 2, stderr: expect.stringContaining(words) });
  }
  // Elsewhere for the folder, the same for database or bucket.
  const [other, otherBucket] = [join(root, "other.yml"), join(root, "other-bucket.yml")];
  await copyWithOtherFolder(usedPostgres.config, other);
  await copyWithOtherFolder(usedBucket.config, otherBucket);
  expect(await migrate(from.readOnly, other)).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining("holds a registry already"),
  });
  expect(await migrate(from.readOnly, otherBucket)).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining("belongs to a registry already"),
  });

  const refused = await place("sqlite", "s3");
  await writeFile(
    refused.config,
    (await readFile(refused.config, "utf8")).replace("the secret of the tests", "another secret"),
  );
  const result = await migrate(from.readOnly, refused.config);
  expect(result).toMatchObject({ exitCode: 2, stderr: expect.stringMatching(/^stowage: .*S3.*\n$/) });
  expect(await runProgram(from.folder, ["check", "--deep", "--config", from.config])).toMatchObject({ exitCode: 0 });
});

test("rows that were loaded are taken out again when the source changed meanwhile", async () => {
  const [from, to] = [await place("postgres", "files"), await place("postgres", "files")];
  await fillPlace(from, 18);
  await using source = await openSource(settingsFrom({ config: from.config }, {}).settings);
  const path = join(root, "copy.db");
  const event = "insert into new_event (at, bytes, payload) values (7, 2, '{}')"; // which has no number yet
  await (await sharedServer()).query(event, from.database);
  const isUnchanged = await source.takeSnapshot(path, { signal: new AbortController().signal, onStep: () => {} });
  const engine = await openPostgres({ url: (await sharedServer()).url(to.database) });
  using file = CopyFile.open(path);
  expect(await loadIntoPostgres(engine, file)).toBe(true);
  expect(await loadIntoPostgres(engine, file)).toBe(false); // never over another one
  expect(await isUnchanged()).toBe(true);
  await using listener = await source.registry.listen({ otherSites: "served" });
  await pushImage(listener.url, "app", "meanwhile");
  expect(await isUnchanged()).toBe(false);
  await emptyPostgres(engine);
  expect(await isUsed(engine)).toBe(false);
  expect(await loadIntoPostgres(engine, file)).toBe(true);
  expect(await (await sharedServer()).query("select at, payload from event", to.database)).toEqual([
    { at: "7", payload: "{}" },
  ]);
  await engine.close();
});

test("of a file with many rows a page is read between two statements", async () => {
  const secrets = COPIED_TABLES.find(({ name }) => name === "secret");
  if (!secrets) throw new Error("no table");
  const { database } = await place("postgres", "files");
  await using closing = new AsyncDisposableStack();
  const engine = await openPostgres({ url: (await sharedServer()).url(database) });
  closing.defer(() => engine.close());
  using file = await CopyFile.create(join(root, "many.db"));
  const rows = Array.from({ length: 4500 }, (_, at) => ({ name: `secret ${at}`, value: new Uint8Array([at % 256]) }));
  file.add(secrets, ["name", "value"], rows);

  let [read, mostRead] = [0, 0];
  const counted: TableFile = {
    columnsOf: (table) => file.columnsOf(table),
    clear: () => file.clear(),
    add: (...given) => file.add(...given),
    next(...given) {
      const found = file.next(...given);
      mostRead = Math.max(mostRead, (read += found.length));
      return found;
    },
    lastNumber: (table) => file.lastNumber(table),
    setLastNumber: (...given) => file.setLastNumber(...given),
  };
  function* counting<Result>(steps: Transaction<Result>): Transaction<Result> {
    let step = steps.next();
    while (!step.done) {
      read = 0;
      step = steps.next(yield step.value);
    }
    return step.value;
  }
  const observed = {
    read: (work) => engine.read(() => counting(work())),
    write: (work, durability) => engine.write(() => counting(work()), durability),
  } as SqlEngine;
  expect(await loadIntoPostgres(observed, counted)).toBe(true);
  expect(mostRead).toBe(1000);
  mostRead = 0;
  await copyFromPostgres(observed, counted);
  expect(mostRead).toBe(1000);
  expect([...pagesOf(file, secrets, ["name"])].flat()).toHaveLength(rows.length);
});
