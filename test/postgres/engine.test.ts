/** Transactions on a real PostgreSQL: what is kept, what is seen, what is done again; with both drivers. */
import { describe, expect, test } from "bun:test";
import { BusyError } from "../../src/lib/busy-error.ts";
import { postgresAddress } from "../../src/lib/postgres-address.ts";
import { PostgresEngine } from "../../src/metadata/postgres/postgres-engine.ts";
import type { PostgresEngineOptions } from "../../src/metadata/postgres/postgres-engine.ts";
import { SchemaError } from "../../src/metadata/migrations/migrations.ts";
import type { PostgresMigration } from "../../src/metadata/migrations/migrations.ts";
import { run } from "../../src/metadata/sql.ts";
import type { Transaction } from "../../src/metadata/sql.ts";
import { first, rows } from "../../src/metadata/testing/raw-sql.ts";
import { FaultProxy } from "./support/fault-proxy.ts";
import { PostgresServer, poolOptions, sharedServer } from "./support/postgres-server.ts";

const TABLES: PostgresMigration = {
  text: `
    create table thing (name text collate "C" primary key, amount bigint not null default 0);
    create table sample (id bigint, label text, payload bytea, flag smallint, ratio double precision);`,
  compatibleFrom: 1,
};

type More = Partial<PostgresEngineOptions>;

function openAt(url: string, more: More = {}): Promise<PostgresEngine> {
  return PostgresEngine.open(postgresAddress(url), poolOptions({ migrations: [TABLES], ...more }));
}

async function openNew(more: More = {}): Promise<PostgresEngine> {
  return await openAt(await (await sharedServer()).createDatabase(), more);
}

function* insert(name: string): Transaction<void> {
  yield* run("insert into thing (name) values ($1)", name);
}

/** Adds one, and returns how much there is then. */
function* increment(name: string): Transaction<number> {
  const row = yield* first<{ amount: string }>(
    "update thing set amount = amount + 1 where name = $1 returning amount",
    name,
  );
  return Number(row?.amount);
}

/** Adds what is missing, slowly. */
function* ensure(): Transaction<string> {
  if (yield* first("select 1 from thing where name = 'x'")) return "found";
  yield* rows("select pg_sleep(0.1)");
  yield* insert("x");
  return "made";
}

function* threeRows(): Transaction<unknown> {
  return yield [1, 2, 3].map((value) => ({ text: "select $1::integer as value", values: [value] }));
}

function* synchronousCommit(): Transaction<unknown> {
  return yield* first("select current_setting('synchronous_commit') as value");
}

async function names(engine: PostgresEngine): Promise<readonly string[]> {
  return (await engine.read(() => rows<{ name: string }>("select name from thing order by name"))).map(
    (row) => row.name,
  );
}

for (const driver of ["bun", "pg"] as const) {
  describe(`a transaction by the driver ${driver}`, () => {
    for (const preparedStatements of [true, false]) {
      test(`binds values by their numbers, and returns them as they are (prepared: ${preparedStatements})`, async () => {
        const engine = await openNew({ driver, preparedStatements });
        const payload = new Uint8Array([0, 1, 255]);
        const values = [2 ** 53 - 1, "it's \\ $1", payload, 1, 0.1] as const;
        const columns = "id, label, payload, flag, ratio";
        await engine.write(() =>
          run(`insert into sample (${columns}) values ($2, $1, $3, $4, $5)`, values[1], values[0], ...values.slice(2)),
        );
        await engine.write(() => run(`insert into sample values ($1, $2, $3, $4, $5)`, null, null, null, null, null));
        const found = await engine.read(() => rows(`select ${columns} from sample order by id nulls last`));
        const [id, label, , flag, ratio] = values;
        expect(found).toEqual([
          { id: String(id), label, payload: Buffer.from(payload), flag, ratio },
          { id: null, label: null, payload: null, flag: null, ratio: null },
        ]);
        await engine.close();
      });
    }

    test("keeps nothing when its work throws, and the next one goes on", async () => {
      const engine = await openNew({ driver, connections: 1 });
      const failing = engine.write(function* () {
        yield* insert("a");
        yield* rows("select 1");
        throw new Error("on purpose");
      });
      await expect(failing).rejects.toThrow("on purpose");
      await engine.write(() => insert("b"));
      expect(await names(engine)).toEqual(["b"]);
      await engine.close();
    });

    test("keeps nothing when a statement fails, wherever it is in its flight", async () => {
      const engine = await openNew({ driver, connections: 1 });
      const division = "select 1 / $1::integer";
      const works: readonly (() => Transaction<unknown>)[] = [
        function* () {
          yield* insert("before");
          yield* run(division, 0);
          yield* insert("behind");
        },
        function* () {
          yield* insert("before");
          yield* rows(division, 0);
        },
        function* () {
          yield* rows("select 1");
          yield [
            { text: "insert into thing (name) values ($1)", values: ["in a batch"] },
            { text: division, values: [0] },
          ];
        },
      ];
      for (const work of works) await expect(engine.write(work)).rejects.toMatchObject({ code: "22012" });
      expect(await names(engine)).toEqual([]);
      await engine.write(() => insert("b"));
      expect(await names(engine)).toEqual(["b"]);
      await engine.close();
    });

    test("gives a batch the rows of each of its statements", async () => {
      const engine = await openNew({ driver });
      expect(await engine.write(threeRows)).toEqual([[{ value: 1 }], [{ value: 2 }], [{ value: 3 }]]);
      expect(await engine.read(threeRows)).toEqual([[{ value: 1 }], [{ value: 2 }], [{ value: 3 }]]);
      await engine.close();
    });

    test("is seen by every engine once it is answered", async () => {
      const url = await (await sharedServer()).createDatabase();
      const engines = [await openAt(url, { driver }), await openAt(url, { driver })] as const;
      const chains = Array.from({ length: 8 }, async (_, chain) => {
        for (let at = 0; at < 10; at++) {
          const name = `${chain}-${at}`;
          await engines[at % 2]?.write(() => insert(name), at % 3 === 0 ? "soon" : "durable");
          const find = (): Transaction<unknown> => first("select name from thing where name = $1", name);
          expect(await engines[(at + 1) % 2]?.read(find)).toEqual({ name });
        }
      });
      await Promise.all(chains);
      for (const engine of engines) await engine.close();
    });

    test("that reads sees one state, however many statements it has", async () => {
      const engine = await openNew({ driver });
      await engine.write(() => insert("a"));
      for (let round = 0; round < 3; round++) {
        let written: Promise<number> | undefined;
        const amounts = await engine.read(function* () {
          const [before] = yield* rows<{ amount: string }>("select amount from thing");
          written = engine.write(() => increment("a"));
          yield* rows("select pg_sleep(0.05)");
          const [after] = yield* rows<{ amount: string }>("select amount + 0 as amount from thing");
          return [before?.amount, after?.amount];
        });
        expect(amounts[0]).toBe(amounts[1]);
        await written;
      }
      await engine.close();
    });

    test("that deadlocks with another is done again, and both are done once", async () => {
      const engine = await openNew({ driver });
      for (const name of ["a", "b"]) await engine.write(() => insert(name));
      const both = Promise.withResolvers<void>();
      let arrived = 0;
      const inOrder = (one: string, two: string) =>
        function* (): Transaction<void> {
          yield* increment(one);
          if (++arrived === 2) both.resolve();
          yield* rows("select pg_sleep(0.1)");
          yield* increment(two);
        };
      await Promise.all([engine.write(inOrder("a", "b")), engine.write(inOrder("b", "a"))]);
      await both.promise;
      expect(arrived).toBeGreaterThan(2);
      expect(await engine.read(() => rows("select name, amount from thing order by name"))).toEqual([
        { name: "a", amount: 2 },
        { name: "b", amount: 2 },
      ]);
      await engine.close();
    });

    test("that finds something missing while another one adds it is done again", async () => {
      const engine = await openNew({ driver });
      const results = await Promise.all([engine.write(ensure), engine.write(ensure)]);
      expect(results.toSorted()).toEqual(["found", "made"]);
      await engine.close();
    });

    test("whose connection breaks between the commit and its answer is done once, and says what it did", async () => {
      const server = await sharedServer();
      const direct = await server.createDatabase();
      await using proxy = await FaultProxy.open(server.port);
      const engine = await openAt(proxy.url(direct), { driver });
      await engine.write(() => insert("a"));
      for (let round = 1; round <= 5; round++) {
        let cuts = 0;
        proxy.hooks = { fromServer: (bytes) => (bytes.includes("COMMIT\0") && cuts++ === 0 ? "cut" : "pass") };
        expect(await engine.write(() => increment("a"))).toBe(round);
        expect(cuts).toBeGreaterThan(0);
      }
      proxy.hooks = {};
      expect(await engine.read(() => rows("select amount from thing"))).toEqual([{ amount: 5 }]);
      await engine.close();
    });

    test("that a crash of the server undid is not taken for another one, which has its number since", async () => {
      // What is not committed stays in memory, so that the crash loses it.
      const server = await PostgresServer.start({ settings: { wal_writer_delay: "10s" } });
      try {
        const direct = await server.createDatabase();
        await using proxy = await FaultProxy.open(server.port);
        const engine = await openAt(proxy.url(direct), { driver, connections: 1, preparedStatements: false });
        await engine.write(() => insert("a"));
        const other = await openAt(direct, { driver });
        const crashed = Promise.withResolvers<void>();
        let isAway = false;
        proxy.hooks = {
          fromClient: (sent) => {
            if (sent.includes("commit\0") && !isAway) {
              isAway = true;
              crashed.resolve();
            }
            return isAway ? "cut" : "pass";
          },
        };
        const incremented = engine
          .write(() => increment("a"))
          .then(
            () => "done",
            (error: unknown) => (error instanceof BusyError ? "unknown" : error),
          );
        await crashed.promise;
        await server.stop("crash");
        await server.run();
        for (let each = 0; each < 40; each++) await other.write(() => insert(`other ${each}`));
        proxy.hooks = {};
        expect(await incremented).toBe("unknown");
        expect(await engine.read(() => rows("select amount from thing where name = 'a'"))).toEqual([{ amount: 0 }]);
        expect(await engine.write(() => increment("a"))).toBe(1);
        await engine.close();
        await other.close();
      } finally {
        await server.end();
      }
    });

    test("whose connection breaks before the commit arrives is done once", async () => {
      const server = await sharedServer();
      const direct = await server.createDatabase();
      await using proxy = await FaultProxy.open(server.port);
      // So that the text is sent each time, and not the name of what was prepared.
      const engine = await openAt(proxy.url(direct), { driver, preparedStatements: false });
      await engine.write(() => insert("a"));
      let cuts = 0;
      proxy.hooks = { fromClient: (sent) => (sent.includes("commit\0") && cuts++ === 0 ? "cut" : "pass") };
      expect(await engine.write(() => increment("a"))).toBe(1);
      expect(cuts).toBeGreaterThan(0);
      await engine.close();
    });

    test("whose backend is killed is done again", async () => {
      const engine = await openNew({ driver });
      await engine.write(() => insert("a"));
      let attempts = 0;
      const amount = await engine.write(function* (): Transaction<number> {
        attempts++;
        const now = yield* increment("a");
        if (attempts === 1) yield* rows("select pg_terminate_backend(pg_backend_pid())");
        return now;
      });
      expect([attempts, amount]).toEqual([2, 1]);
      await engine.close();
    });

    test("takes one round trip when no rows are needed, and one more for each time they are", async () => {
      const server = await sharedServer();
      const direct = await server.createDatabase();
      await using proxy = await FaultProxy.open(server.port);
      const engine = await openAt(proxy.url(direct), { driver, connections: 1 });
      const works: readonly [work: () => Transaction<unknown>, roundTrips: number][] = [
        [() => insert("a"), 1],
        [
          function* () {
            for (const name of ["b", "c", "d"]) yield* insert(name);
          },
          1,
        ],
        [() => increment("a"), 2],
      ];
      for (const [work, roundTrips] of works) {
        // A statement that a connection has not prepared yet may cost one more.
        await engine.write(work);
        await engine.write(() => run("delete from thing where name <> 'a'"));
        await engine.write(() => run("delete from thing where $1 > 0", roundTrips === 1 ? 1 : 0));
        expect(await proxy.count(() => engine.write(work))).toBe(roundTrips);
      }
      expect(await proxy.count(() => engine.read(() => rows("select 1")))).toBe(1);
      await engine.close();
    });

    test("waits for its commit to be durable, unless that comes soon", async () => {
      const engine = await openNew({ driver });
      expect(await engine.write(synchronousCommit)).toEqual({ value: "on" });
      expect(await engine.write(synchronousCommit, "soon")).toEqual({ value: "off" });
      expect(await engine.write(synchronousCommit)).toEqual({ value: "on" });
      await Promise.all([engine.flush(), engine.flush()]);
      await engine.checkReady();
      await engine.close();
    });
  });

  describe(`a server that is away, by the driver ${driver}`, () => {
    test("comes back: what was asked meanwhile is done", async () => {
      const server = await PostgresServer.start();
      const engine = await openAt(await server.createDatabase(), { driver });
      await engine.write(() => insert("a"));
      for (const how of ["fast", "crash"] as const) {
        const before = await engine.write(() => increment("a"));
        await server.stop(how);
        const meanwhile = Array.from({ length: 20 }, () => engine.write(() => increment("a")));
        await server.run();
        expect((await Promise.all(meanwhile)).toSorted((a, b) => a - b)).toEqual(
          Array.from({ length: 20 }, (_, at) => before + 1 + at),
        );
      }
      await engine.close();
      await server.end();
    });

    test("and does not come back: clients are told to try again", async () => {
      const server = await PostgresServer.start();
      const engine = await openAt(await server.createDatabase(), { driver, retryLimitMs: 300 });
      await server.stop();
      await expect(engine.write(() => insert("a"))).rejects.toBeInstanceOf(BusyError);
      await expect(engine.read(() => rows("select 1"))).rejects.toBeInstanceOf(BusyError);
      await expect(engine.checkReady()).rejects.toThrow();
      await engine.close();
      await server.end();
    });

    test("and does not answer: the deadline closes the connection, and all is well when it answers again", async () => {
      const server = await PostgresServer.start();
      const options = { driver, retryLimitMs: 300, statementTimeoutMs: 300, connectTimeoutMs: 300, connections: 2 };
      const engine = await openAt(await server.createDatabase(), options);
      await engine.write(() => insert("a"));
      await server.signalBackends("SIGSTOP");
      const asked = Array.from({ length: 6 }, () => engine.read(() => rows("select 1")));
      for (const each of await Promise.allSettled(asked)) {
        expect(each).toMatchObject({ status: "rejected", reason: expect.any(BusyError) });
      }
      await server.signalBackends("SIGCONT");
      expect(await names(engine)).toEqual(["a"]);
      await engine.close();
      await server.end();
    });
  });
}

describe("the pool", () => {
  test("refuses who waits too long for a connection, and serves the others in their order", async () => {
    const engine = await openNew({ connections: 1, acquireTimeoutMs: 200 });
    const slow = engine.read(() => rows("select pg_sleep(0.5)"));
    await expect(engine.read(() => rows("select 1"))).rejects.toBeInstanceOf(BusyError);
    await slow;
    expect(await engine.read(() => rows("select 1 as one"))).toEqual([{ one: 1 }]);
    await engine.close();
  });
});

describe("the schema", () => {
  test("is made once when several processes come at once", async () => {
    const url = await (await sharedServer()).createDatabase();
    const engines = await Promise.all(Array.from({ length: 6 }, () => openAt(url)));
    await Promise.all(engines.map((engine, at) => engine.write(() => insert(`p${at}`))));
    expect(await names(engines[0] as PostgresEngine)).toEqual(["p0", "p1", "p2", "p3", "p4", "p5"]);
    for (const engine of engines) await engine.close();
  });

  test("of a newer program is used by an older one that it allows, and refused to the others", async () => {
    const url = await (await sharedServer()).createDatabase();
    const added: PostgresMigration = { text: "alter table thing add column note text", compatibleFrom: 1 };
    const removed: PostgresMigration = { text: "alter table thing drop column note", compatibleFrom: 3 };
    await (await openAt(url, { migrations: [TABLES, added] })).close();
    await (await openAt(url)).close();
    await (await openAt(url, { migrations: [TABLES, added, removed] })).close();
    await expect(openAt(url, { migrations: [TABLES, added] })).rejects.toBeInstanceOf(SchemaError);
    await (await openAt(url, { migrations: [TABLES, added, removed] })).close();
  });

  test("stays as it was when a step fails", async () => {
    const url = await (await sharedServer()).createDatabase();
    const broken: PostgresMigration = { text: "create table other (id bigint); select 1 / 0", compatibleFrom: 1 };
    await expect(openAt(url, { migrations: [TABLES, broken] })).rejects.toMatchObject({ code: "22012" });
    await (await openAt(url)).close();
  });
});
