/** SQL on a SQLite file, through Bun's own binding. */
import { randomInt } from "node:crypto";
import { open } from "node:fs/promises";
import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";
import { OciError } from "../../oci/error.ts";
import { SQLITE_MIGRATIONS, pendingMigrations } from "../migrations/migrations.ts";
import { runAtOnce } from "../sql.ts";
import type { Durability, SqlEngine, Statement, Transaction } from "../sql.ts";
import { Connection, sqliteCode } from "./connection.ts";

/**
 * `foreign_keys` is off by default. A waiting BEGIN blocks the event loop, so `busy_timeout` is small and we try again
 * ourselves. `synchronous=full` syncs the log at each commit: what was answered is durable.
 */
const PRAGMAS = [
  "busy_timeout = 5",
  "journal_mode = wal",
  "synchronous = full",
  "foreign_keys = on",
  "temp_store = memory",
];

/** What stands around the statements of others, prepared like them. */
const BEGIN: Statement = { text: "begin", values: [] };
const BEGIN_WRITING: Statement = { text: "begin immediate", values: [] };
const COMMIT: Statement = { text: "commit", values: [] };
const SAVE: Statement = { text: "savepoint member", values: [] };
const KEEP: Statement = { text: "release member", values: [] };

/** Moves when another connection has committed; it does not for commits of its own. */
const DATA_VERSION: Statement = { text: "pragma data_version", values: [] };

/** Milliseconds after which a database that stays busy is given up on. */
const BUSY_LIMIT_MS = 10_000;

interface Member {
  readonly durability: Durability;
  run(): void;
  resolve(): void;
  reject(error: unknown): void;
}

/**
 * Writers that come at the same time share one commit, and so one sync of the disk: each runs in a savepoint of its
 * own, and all are answered after the commit.
 */
export class SqliteEngine implements SqlEngine {
  readonly #writer: Connection;
  readonly #path: string;
  /** Whether the writer syncs the log at each commit. */
  #syncs = true;
  /** Another connection: on the writer's a read would see a transaction that is not committed. */
  readonly #reader: Connection;
  /** Statements with which reads of several statements have begun. */
  readonly #openings = new Set<string>();
  #revision = 0;
  #dataVersion: unknown;
  /** Whether it was looked at in this turn of the event loop, and nothing was committed here since. */
  #knowsRevision = false;
  #waiting: Member[] = [];
  #committing: Promise<void> | undefined;
  readonly #others: { close(): void }[] = [];
  /** Why no write is taken any more: after a failed sync nobody knows what is on the disk. */
  #broken: Error | undefined;

  private constructor(path: string, writer: Connection, reader: Connection) {
    this.#path = path;
    this.#writer = writer;
    this.#reader = reader;
  }

  /** Opens the file and brings its schema up to date. With `alone` no other process can open it until it is closed. */
  static async open(path: string, options: { readonly alone?: boolean } = {}): Promise<SqliteEngine> {
    const pragmas = options.alone ? ["locking_mode = exclusive", ...PRAGMAS] : PRAGMAS;
    const writer = await whenFree(() => Connection.open(path, pragmas));
    try {
      await whenFree(() => migrate(writer));
      return new SqliteEngine(
        path,
        writer,
        options.alone ? writer : Connection.open(path, [...PRAGMAS, "query_only = on"]),
      );
    } catch (error) {
      writer.close();
      throw error;
    }
  }

  read<Result>(work: () => Transaction<Result>): Promise<Result> {
    return whenFree(() => {
      const steps = work();
      const one = steps.next();
      if (one.done) return one.value;
      if (!this.#openings.has(one.value.text)) {
        // One statement sees one state by itself.
        const next = steps.next(this.#reader.run(one.value));
        if (next.done) return next.value;
        this.#openings.add(one.value.text);
      }
      return this.#readSeveral(work);
    });
  }

  /** From its beginning, so that all statements see the state that the first one sees. */
  #readSeveral<Result>(work: () => Transaction<Result>): Result {
    this.#reader.run(BEGIN);
    try {
      return runAtOnce(work(), (statement) => this.#reader.run(statement));
    } finally {
      this.#reader.run(COMMIT);
    }
  }

  write<Result>(work: () => Transaction<Result>, durability: Durability = "durable"): Promise<Result> {
    const { promise, resolve, reject } = Promise.withResolvers<Result>();
    let result: Result;
    this.#waiting.push({
      durability,
      run: () => void (result = runAtOnce(work(), (statement) => this.#writer.run(statement))),
      resolve: () => resolve(result),
      reject,
    });
    // Not at once: requests that are already readable get to join.
    this.#committing ??= nextTurn().then(() => this.#commitWaiting());
    return promise;
  }

  revision(): number {
    if (this.#knowsRevision) return this.#revision;
    try {
      const dataVersion = this.#reader.run(DATA_VERSION)[0]?.["data_version"];
      if (dataVersion !== this.#dataVersion) this.#revision++;
      this.#dataVersion = dataVersion;
    } catch (error) {
      if (!isBusy(error)) throw error;
      return ++this.#revision; // it may be anything
    }
    this.#knowsRevision = true;
    setImmediate(() => (this.#knowsRevision = false)); // before the next requests are read from their sockets
    return this.#revision;
  }

  /** Syncs the log, in which every commit lies until it is in the database for good. The event loop goes on meanwhile. */
  async flush(): Promise<void> {
    if (this.#broken) throw this.#broken;
    const log = await open(`${this.#path}-wal`, "r+");
    try {
      await log.datasync().catch((error: unknown) => {
        throw (this.#broken = syncFailure(error));
      });
    } finally {
      await log.close();
    }
  }

  /** The engine, which closes `other` when it is closed. */
  closingAlso(other: { close(): void }): this {
    this.#others.push(other);
    return this;
  }

  async close(): Promise<void> {
    await this.#committing;
    if (this.#reader !== this.#writer) this.#reader.close();
    this.#writer.close();
    for (const other of this.#others) other.close();
  }

  async #commitWaiting(): Promise<void> {
    while (this.#waiting.length > 0) {
      const members = this.#waiting;
      this.#waiting = [];
      try {
        if (this.#broken) throw this.#broken;
        this.#syncAtCommit(members.some(({ durability }) => durability === "durable"));
        await whenFree(() => this.#writer.run(BEGIN_WRITING));
        this.#commit(members);
      } catch (error) {
        for (const member of members) member.reject(error);
      }
    }
    this.#committing = undefined;
  }

  /** With `normal` the log is synced only before it goes into the database. */
  #syncAtCommit(syncs: boolean): void {
    if (syncs === this.#syncs) return;
    this.#writer.exec(`pragma synchronous = ${syncs ? "full" : "normal"}`);
    this.#syncs = syncs;
  }

  /** Runs all members and commits; nothing here waits, so that no other statement gets in between. */
  #commit(members: readonly Member[]): void {
    const done: Member[] = [];
    try {
      for (const member of members) {
        // One that is alone needs no savepoint: what it throws undoes the transaction, which is its own.
        if (members.length === 1) member.run();
        if (members.length === 1 || this.#runMember(member)) done.push(member);
      }
      this.#writer.run(COMMIT);
      this.#knowsRevision = false;
      if (this.#reader === this.#writer) this.#revision++;
    } catch (error) {
      this.#rollBack();
      if (isSyncFailure(error)) this.#broken = syncFailure(error);
      throw error;
    }
    for (const member of done) member.resolve();
  }

  /** False when the work threw: it is undone and its caller told, and the others go on. */
  #runMember(member: Member): boolean {
    this.#writer.run(SAVE);
    try {
      member.run();
    } catch (error) {
      try {
        this.#writer.exec("rollback to member; release member");
      } catch {
        throw error; // SQLite gave the whole transaction up, as it does when the disk is full
      }
      member.reject(error);
      return false;
    }
    this.#writer.run(KEEP);
    return true;
  }

  #rollBack(): void {
    try {
      this.#writer.exec("rollback");
    } catch {
      // SQLite has rolled back by itself: after a full disk or an I/O error it does.
    }
  }
}

/** Whether a sync of the disk failed: what was written before may or may not be there, and trying again lies. */
function isSyncFailure(error: unknown): boolean {
  return /^SQLITE_IOERR_(?:DIR_)?FSYNC/.test(sqliteCode(error) ?? "");
}

function syncFailure(cause: unknown): Error {
  return new Error("the database could not be synced to its disk; restart when the disk is well again", { cause });
}

function isBusy(error: unknown): boolean {
  return sqliteCode(error)?.startsWith("SQLITE_BUSY") ?? false;
}

/** Runs `attempt` until the database is not busy with another process; then 503. */
export async function whenFree<Result>(attempt: () => Result): Promise<Result> {
  const deadline = performance.now() + BUSY_LIMIT_MS;
  for (;;) {
    try {
      return attempt();
    } catch (error) {
      if (!isBusy(error)) throw error;
      if (performance.now() > deadline) {
        throw new OciError("UNAVAILABLE", { message: "the registry is busy, try again in a moment", cause: error });
      }
      await sleep(1 + randomInt(10));
    }
  }
}

/** Which migrations a database has had; 0 for an empty one. */
export function schemaVersion(connection: Connection): number {
  const [row] = connection.run({ text: "pragma user_version", values: [] });
  return Number(row?.["user_version"] ?? 0);
}

function migrate(connection: Connection): void {
  connection.exec("begin immediate");
  try {
    const pending = pendingMigrations(schemaVersion(connection), SQLITE_MIGRATIONS);
    for (const step of pending) connection.exec(step);
    if (pending.length > 0) connection.exec(`pragma user_version = ${SQLITE_MIGRATIONS.length}`);
    connection.exec("commit");
  } catch (error) {
    connection.exec("rollback");
    throw error;
  }
}
