/** Transactions on a SQLite file: shared commits, several writers, several processes. */
import { Database } from "bun:sqlite";
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import {
  FIRST_VERSION,
  SCHEMA_VERSION,
  SQLITE_MIGRATIONS,
  SchemaError,
  pendingMigrations,
} from "../migrations/migrations.ts";
import { first, rows } from "../testing/raw-sql.ts";
import type { Transaction } from "../sql.ts";
import { sqliteOfNode } from "./binding.ts";
import { SqliteEngine } from "./sqlite-engine.ts";
import type { SqliteEngineOptions } from "./sqlite-engine.ts";

const root = await mkdtemp(join(tmpdir(), "stowage-engine-"));
afterAll(async () => {
  await rm(root, { recursive: true, force: true });
});
let files = 0;

function freshPath(): string {
  return join(root, `${files++}.db`);
}

describe("a transaction", () => {
  const modes: readonly [mode: string, options: SqliteEngineOptions][] = [
    ["shared", {}],
    ["alone", { alone: true }],
    ["as Node brings SQLite", { openSqlite: sqliteOfNode }],
  ];
  for (const [mode, options] of modes) {
    test(`binds values by their numbers (${mode})`, async () => {
      const engine = await SqliteEngine.open(freshPath(), options);
      const found = engine.read(() => rows("select $2 as second, $1 as first, $2 as again", "one", "two"));
      expect(await found).toEqual([{ second: "two", first: "one", again: "two" }]);
      await engine.write(() => rows("insert into repo (name, created_at) values ($2, $1)", 7, "name"));
      expect(await repositories(engine)).toEqual(["name"]);
      await engine.close();
    });

    test(`keeps nothing when its work throws (${mode})`, async () => {
      const engine = await SqliteEngine.open(freshPath(), options);
      const failing = engine.write(function* () {
        yield* insert("a");
        throw new Error("on purpose");
      });
      await expect(failing).rejects.toThrow("on purpose");
      expect(await repositories(engine)).toEqual([]);
      await engine.write(() => insert("b"));
      expect(await repositories(engine)).toEqual(["b"]);
      await engine.close();
    });

    test(`sees what was answered before (${mode})`, async () => {
      const engine = await SqliteEngine.open(freshPath(), options);
      const chains = Array.from({ length: 10 }, async (_, chain) => {
        for (let at = 0; at < 10; at++) {
          const name = `${chain}-${at}`;
          await engine.write(() => insert(name));
          expect(await engine.read(() => first("select 1 as found from repo where name = $1", name))).toEqual({
            found: 1,
          });
        }
      });
      await Promise.all(chains);
      expect(await repositories(engine)).toHaveLength(100);
      await engine.close();
    });

    test(`reads may come at any moment of a commit (${mode})`, async () => {
      const engine = await SqliteEngine.open(freshPath(), options);
      const writes = Array.from({ length: 40 }, (_, at) => engine.write(() => insert(`${at}`)));
      // After each count of turns of the microtask queue: some of them fall between the begin and the commit.
      const reads = Array.from({ length: 40 }, async (_, turns) => {
        await nextTurn();
        for (let turn = 0; turn < turns; turn++) await undefined;
        return await repositories(engine);
      });
      for (const seen of await Promise.all(reads)) expect([0, 40]).toContain(seen.length);
      await Promise.all(writes);
      await engine.close();
    });
  }

  test("is not seen by others before it is committed", async () => {
    const path = freshPath();
    const [engine, other] = [await SqliteEngine.open(path), await SqliteEngine.open(path)];
    let during: Promise<readonly string[]> | undefined;
    await engine.write(function* () {
      yield* insert("half done");
      during = repositories(other);
    });
    expect(await during).toEqual([]);
    expect(await repositories(other)).toEqual(["half done"]);
    await other.close();
    await engine.close();
  });

  test("that reads sees one state, however many statements it has", async () => {
    const path = freshPath();
    const [engine, other] = [await SqliteEngine.open(path), new Database(path)];
    other.exec("pragma busy_timeout = 1000");
    let meanwhile = 0;
    const counts = await engine.read(function* () {
      const before = yield* rows("select name from repo");
      other.exec(`insert into repo (name, created_at) values ('meanwhile ${++meanwhile}', 1)`);
      const after = yield* rows("select name from repo");
      return [before.length, after.length];
    });
    // It was begun again when its second statement came: that saw what the first try had let happen, and no more.
    expect(counts).toEqual([1, 1]);
    expect(await repositories(engine)).toEqual(["meanwhile 1", "meanwhile 2"]);
    other.close();
    await engine.close();
  });
});

describe("a shared commit", () => {
  test("answers all who came together", async () => {
    const engine = await SqliteEngine.open(freshPath());
    const results = await Promise.all(
      Array.from({ length: 50 }, (_, at) =>
        engine.write(function* () {
          yield* insert(`repository ${at}`);
          return at;
        }),
      ),
    );
    expect(results).toEqual(Array.from({ length: 50 }, (_, at) => at));
    expect(await repositories(engine)).toHaveLength(50);
    await engine.close();
  });

  test("a member that throws does not disturb the others", async () => {
    const engine = await SqliteEngine.open(freshPath());
    const outcomes = await Promise.allSettled(
      Array.from({ length: 12 }, (_, at) =>
        engine.write(function* () {
          yield* insert(`r${at}`);
          if (at % 3 === 0) throw new Error(`member ${at} on purpose`);
          if (at % 3 === 1) yield* insert(`r${at}`); // the name is taken
        }),
      ),
    );
    const good = outcomes.flatMap(({ status }, at) => (status === "fulfilled" ? [at] : []));
    expect(good).toEqual([2, 5, 8, 11]);
    expect(outcomes[3]).toMatchObject({ reason: { message: "member 3 on purpose" } });
    expect(outcomes[4]).toMatchObject({ reason: { code: "SQLITE_CONSTRAINT_UNIQUE" } });
    expect((await repositories(engine)).toSorted()).toEqual(["r11", "r2", "r5", "r8"]);
    await engine.close();
  });

  test("a commit that fails fails all of its members, and the next ones go on", async () => {
    const engine = await SqliteEngine.open(freshPath());
    const outcomes = await Promise.allSettled([
      engine.write(() => insert("good")),
      engine.write(function* () {
        yield* rows("pragma defer_foreign_keys = on"); // checked at the commit, where it fails
        yield* rows("insert into repo_blob (repo, blob, touched_at, unref_at) values (99, 99, 1, 1)");
      }),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    expect(await repositories(engine)).toEqual([]);
    await engine.write(() => insert("later"));
    expect(await repositories(engine)).toEqual(["later"]);
    await engine.close();
  });

  test("what a member is told is what was committed, also when the group ran again", async () => {
    const engine = await SqliteEngine.open(freshPath());
    let runs = 0;
    const [fickle, patient] = await Promise.allSettled([
      engine.write(function* () {
        yield* insert("fickle");
        if (++runs === 1) throw new Error("on purpose, once");
        return "done";
      }),
      engine.write(function* () {
        if (runs === 1) throw Object.assign(new Error("busy"), { name: "SQLiteError", code: "SQLITE_BUSY" });
        yield* insert("patient");
      }),
    ]);
    expect([fickle, patient.status]).toEqual([{ status: "fulfilled", value: "done" }, "fulfilled"]);
    expect(await repositories(engine)).toEqual(["fickle", "patient"]);
    await engine.close();
  });

  test("no member is told that its work was refused when the group could not be committed", async () => {
    const engine = await SqliteEngine.open(freshPath());
    const outcomes = await Promise.allSettled([
      engine.write(() => insert("a")),
      engine.write(() => insert("a")), // the name is taken, as long as the first one is committed
      engine.write(function* () {
        yield* rows("pragma defer_foreign_keys = on");
        yield* rows("insert into repo_blob (repo, blob, touched_at, unref_at) values (99, 99, 1, 1)");
      }),
    ]);
    const codes = outcomes.map((outcome) => outcome.status === "rejected" && (outcome.reason as { code: string }).code);
    expect(codes).toEqual(Array<string>(3).fill("SQLITE_CONSTRAINT_FOREIGNKEY"));
    expect(await repositories(engine)).toEqual([]);
    await engine.close();
  });

  test("a write that is called from the answer to another is answered too", async () => {
    const engine = await SqliteEngine.open(freshPath());
    const nest = async (depth: number): Promise<void> => {
      await engine.write(() => insert(`${depth}`));
      if (depth > 0) await Promise.all([nest(depth - 1), engine.write(() => insert(`beside ${depth}`))]);
    };
    await nest(5);
    expect(await repositories(engine)).toHaveLength(11);
    await engine.close();
  });

  test("closing waits for the writes that were asked for", async () => {
    const path = freshPath();
    const engine = await SqliteEngine.open(path);
    const writes = Array.from({ length: 5 }, (_, at) => engine.write(() => insert(`${at}`)));
    await engine.close();
    await Promise.all(writes);
    const again = await SqliteEngine.open(path);
    expect(await repositories(again)).toHaveLength(5);
    await again.close();
  });
});

describe("several writers on one file", () => {
  test("two engines both get to write", async () => {
    const path = freshPath();
    const engines = [await SqliteEngine.open(path), await SqliteEngine.open(path)];
    await Promise.all(
      engines.map(async (engine, which) => {
        for (let at = 0; at < 40; at++) await engine.write(() => insert(`${which}-${at}`));
      }),
    );
    for (const engine of engines) expect(await repositories(engine)).toHaveLength(80);
    for (const engine of engines) await engine.close();
  });

  test("two processes both get to write", async () => {
    const path = freshPath();
    const engine = await SqliteEngine.open(path);
    const child = spawnWriter(path, "child", 40);
    for (let at = 0; at < 40; at++) await engine.write(() => insert(`parent-${at}`));
    expect(await child.exited).toBe(0);
    expect(await repositories(engine)).toHaveLength(80);
    await engine.close();
  });

  test("a write waits for another that is under way, without stopping the process", async () => {
    const path = freshPath();
    const engine = await SqliteEngine.open(path);
    const other = new Database(path);
    other.exec("begin immediate");
    const write = engine.write(() => insert("patient"));
    for (let turn = 0; turn < 50; turn++) await nextTurn(); // others are served meanwhile
    expect(await repositories(engine)).toEqual([]);
    other.exec("insert into repo (name, created_at) values ('first', 1); commit");
    await write;
    expect((await repositories(engine)).toSorted()).toEqual(["first", "patient"]);
    other.close();
    await engine.close();
  });

  test("a file that is used alone is used by no other process", async () => {
    const path = freshPath();
    const engine = await SqliteEngine.open(path, { alone: true });
    await engine.write(() => insert("mine"));
    const other = new Database(path);
    expect(() => other.prepare("select * from repo").all()).toThrow(/locked/);
    other.close();
    await engine.close();
    const next = await SqliteEngine.open(path);
    expect(await repositories(next)).toEqual(["mine"]);
    await next.close();
  });
});

test("to close a database again does nothing", async () => {
  const engine = await SqliteEngine.open(freshPath());
  await engine.close();
  await engine.close();
});

describe("what SQLite is told", () => {
  test("we sync commits ourselves, foreign keys are kept, and the log is written ahead", async () => {
    const path = freshPath();
    const engine = await SqliteEngine.open(path);
    const asked = (text: string): Promise<unknown> => engine.write(() => first(`pragma ${text}`));
    expect(await asked("synchronous")).toEqual({ synchronous: 1 });
    expect(await asked("foreign_keys")).toEqual({ foreign_keys: 1 });
    expect(await asked("journal_mode")).toEqual({ journal_mode: "wal" });
    await engine.close();
  });

  test("a read cannot write", async () => {
    const engine = await SqliteEngine.open(freshPath());
    await expect(engine.read(() => insert("smuggled"))).rejects.toThrow();
    expect(await repositories(engine)).toEqual([]);
    await engine.close();
  });
});

describe("the schema", () => {
  const newest = SCHEMA_VERSION;

  test("a new file gets the newest one", async () => {
    const path = freshPath();
    await (await SqliteEngine.open(path)).close();
    expect(versionOf(path)).toBe(newest);
  });

  test("an older file is brought up to date", async () => {
    const path = freshPath();
    new Database(path, { create: true }).close(true);
    await Bun.write(path, ""); // as it is before the first migration: version 0
    const engine = await SqliteEngine.open(path);
    await engine.write(() => insert("a"));
    await engine.close();
    expect(versionOf(path)).toBe(newest);
  });

  for (let version = FIRST_VERSION; version < newest; version++) {
    test(`a file of version ${version} is brought up to date, and keeps what is in it`, async () => {
      const path = freshPath();
      const older = new Database(path, { create: true });
      for (const step of SQLITE_MIGRATIONS.slice(0, version - FIRST_VERSION + 1)) older.exec(step);
      older.exec(`insert into repo (name, created_at) values ('kept', 1); pragma user_version = ${version}`);
      older.close(true);
      const engine = await SqliteEngine.open(path);
      expect(await repositories(engine)).toEqual(["kept"]);
      await engine.write(() => insert("added"));
      await engine.close();
      expect(versionOf(path)).toBe(newest);
    });
  }

  test("one that is up to date is left as it is", async () => {
    const path = freshPath();
    const engine = await SqliteEngine.open(path);
    await engine.write(() => insert("kept"));
    await engine.close();
    const again = await SqliteEngine.open(path);
    expect(await repositories(again)).toEqual(["kept"]);
    await again.close();
  });

  test("a newer one is refused and not touched", async () => {
    const path = freshPath();
    const newer = new Database(path, { create: true });
    newer.exec(`create table from_the_future (x); pragma user_version = ${newest + 1}`);
    newer.close(true);
    const opening = SqliteEngine.open(path);
    await expect(opening).rejects.toThrow(SchemaError);
    await expect(opening).rejects.toThrow(`version ${newest + 1}`);
    expect(versionOf(path)).toBe(newest + 1);
    const after = new Database(path);
    expect(after.prepare("select name from sqlite_schema").all()).toEqual([{ name: "from_the_future" }]);
    after.close();
  });

  test("several processes that open a new file at once all get it", async () => {
    const path = freshPath();
    const children = ["a", "b", "c"].map((name) => spawnWriter(path, name, 3));
    expect(await Promise.all(children.map((child) => child.exited))).toEqual([0, 0, 0]);
    const engine = await SqliteEngine.open(path);
    expect(await repositories(engine)).toHaveLength(9);
    await engine.close();
  });

  test("the steps that are still needed are those behind the version that was found", () => {
    const steps = ["one", "two", "three"];
    expect(pendingMigrations(0, steps)).toEqual(steps);
    expect(pendingMigrations(FIRST_VERSION, steps)).toEqual(["two", "three"]);
    expect(pendingMigrations(FIRST_VERSION + 1, steps)).toEqual(["three"]);
    expect(pendingMigrations(FIRST_VERSION + 2, steps)).toEqual([]);
    for (const version of [1, FIRST_VERSION - 1, FIRST_VERSION + 3]) {
      expect(() => pendingMigrations(version, steps)).toThrow(SchemaError);
    }
  });
});

function insert(name: string): Transaction<readonly unknown[]> {
  return rows("insert into repo (name, created_at) values ($1, 1)", name);
}

async function repositories(engine: SqliteEngine): Promise<readonly string[]> {
  return (await engine.read(() => rows<{ name: string }>("select name from repo"))).map(({ name }) => name);
}

function versionOf(path: string): number {
  const database = new Database(path);
  try {
    return (database.prepare("pragma user_version").get() as { user_version: number }).user_version;
  } finally {
    database.close();
  }
}

/** A process that writes `count` rows into the file. */
function spawnWriter(path: string, name: string, count: number): Bun.Subprocess {
  const program = `
    import { SqliteEngine } from ${JSON.stringify(join(import.meta.dir, "sqlite-engine.ts"))};
    import { rows } from ${JSON.stringify(join(import.meta.dir, "../testing/raw-sql.ts"))};
    const engine = await SqliteEngine.open(${JSON.stringify(path)});
    for (let at = 0; at < ${count}; at++) {
      await engine.write(() => rows("insert into repo (name, created_at) values ($1, 1)", "${name}-" + at));
    }
    await engine.close();`;
  return Bun.spawn([process.execPath, "-e", program], { stdin: "ignore", stdout: "inherit", stderr: "inherit" });
}
