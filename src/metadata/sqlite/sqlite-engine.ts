/** SQL on a SQLite file. */
import { closeSync, fdatasync, openSync } from "node:fs";
import { dirname } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { promisify } from "node:util";
import { OncePerTurn } from "../../lib/once-per-turn.ts";
import { HoldersOfThisProcess } from "../holders.ts";
import type { Holders } from "../holders.ts";
import { SCHEMA_VERSION, SQLITE_MIGRATIONS, pendingMigrations } from "../migrations/migrations.ts";
import { run, runAtOnce } from "../sql.ts";
import type { Durability, SqlEngine, Statement, Transaction } from "../sql.ts";
import type { OpenSqlite } from "./binding.ts";
import { BusyRetry, isBusy } from "./busy-retry.ts";
import { Checkpoints, DUE_PAGES } from "./checkpoints.ts";
import { convertOldDatabase, isConvertible } from "./conversion.ts";
import type { ConversionListener } from "./conversion.ts";
import { Connection, isSyncFailure, sqliteCode } from "./connection.ts";
import { HolderLocks } from "./holder-locks.ts";

/**
 * `foreign_keys` is off by default. A waiting BEGIN blocks the event loop, so `busy_timeout` is small and we try again
 * ourselves. With `synchronous=normal` a commit does not sync the log: we do, for many at once and without blocking the
 * event loop.
 */
const PRAGMAS = [
  "busy_timeout = 5",
  "journal_mode = wal",
  "synchronous = normal",
  "foreign_keys = on",
  "temp_store = memory",
  "case_sensitive_like = on", // as PostgreSQL's
];

/**
 * A database that others may open too has a thread that makes checkpoints, and truncates the log; one that they cannot makes
 * them in its commits.
 */
const CHECKPOINTS_APART = ["wal_autocheckpoint = 0", "journal_size_limit = -1"];
const CHECKPOINTS_IN_COMMITS = [`wal_autocheckpoint = ${DUE_PAGES}`];

/** What stands around the statements of others, prepared like them. */
const BEGIN: Statement = { text: "begin", values: [] };
const BEGIN_WRITING: Statement = { text: "begin immediate", values: [] };
const COMMIT: Statement = { text: "commit", values: [] };
const SAVE: Statement = { text: "savepoint member", values: [] };
const KEEP: Statement = { text: "release member", values: [] };

/** Moves when another connection has committed; it does not for commits of its own. */
const DATA_VERSION: Statement = { text: "pragma data_version", values: [] };

const syncData = promisify(fdatasync);

interface Member {
  readonly durability: Durability;
  run(): void;
  resolve(): void;
  reject(error: unknown): void;
}

export interface SqliteEngineOptions {
  /** Whether no other process may have the database open. */
  readonly alone?: boolean;
  /** What opens databases; the runtime's own when absent. */
  readonly openSqlite?: OpenSqlite;
  /** Pages in the log at which a checkpoint begins, when others may have the database open. */
  readonly checkpointPages?: number;
  /** Called while a database of an old schema is converted, which may take long. */
  readonly onConversion?: ConversionListener | undefined;
}

/**
 * Writers that come at the same time share one commit, and one sync of the log after it: where one throws, it is undone
 * alone. All are answered when it is durable. Others may see what is committed a moment earlier; what they write then
 * comes behind it in the log, and so is never durable without it.
 *
 * Nothing waits between the first and the last statement of a transaction. So reads use the same connection, which has in
 * memory what it has just written.
 */
export class SqliteEngine implements SqlEngine {
  readonly holders: Holders;
  readonly #connection: Connection;
  /** Another connection, which never writes: to it all commits are those of others, and move its `data_version`. */
  readonly #watcher: Connection | undefined;
  /** The file in which commits lie until they are in the database for good. */
  readonly #log: number;
  /** Statements with which reads of several statements have begun. */
  readonly #openings = new Set<string>();
  #lastCommit = 0;
  #dataVersion: unknown;
  readonly #lastCommitOfTurn = new OncePerTurn(() => this.#findLastCommit());
  readonly #readRetry = new BusyRetry();
  readonly #writeRetry = new BusyRetry();
  #waiting: Member[] = [];
  #committing: Promise<void> | undefined;
  #checkpoints: Checkpoints | undefined;
  readonly #others: { close(): void }[] = [];
  #isClosed = false;
  /** Why no write is taken any more: after a failed sync it is unknown what is on the disk. */
  #broken: Error | undefined;

  private constructor(connection: Connection, watcher: Connection | undefined, log: number, holders: Holders) {
    this.holders = holders;
    this.#connection = connection;
    this.#watcher = watcher;
    this.#log = log;
  }

  /** Opens the file and brings its schema up to date; no other process may have an old one open. With `alone` no other process can open it until it is closed. */
  static async open(path: string, options: SqliteEngineOptions = {}): Promise<SqliteEngine> {
    const { alone = false, openSqlite, checkpointPages, onConversion } = options;
    const pragmas = alone
      ? ["locking_mode = exclusive", ...PRAGMAS, ...CHECKPOINTS_IN_COMMITS]
      : [...PRAGMAS, ...CHECKPOINTS_APART];
    const opening = new BusyRetry();
    if (await opening.run(() => isConvertible(path))) await convertOldDatabase(path, onConversion);
    const connection = await opening.run(() => Connection.open(path, pragmas, openSqlite));
    try {
      await opening.run(() => migrate(connection));
      const watcher = alone ? undefined : Connection.open(path, [...pragmas, "query_only = on"], openSqlite);
      const holders = alone ? new HoldersOfThisProcess() : new HolderLocks(dirname(path));
      const engine = new SqliteEngine(connection, watcher, openSync(`${path}-wal`, "r+"), holders);
      if (!alone) {
        const onSyncFailure = (error: Error): void => void (engine.#broken = syncFailure(error));
        engine.#checkpoints = new Checkpoints({ path, duePages: checkpointPages, onSyncFailure });
      }
      return engine;
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  read<Result>(work: () => Transaction<Result>): Promise<Result> {
    return this.#readRetry.run(() => this.#read(work));
  }

  readNow<Result>(work: () => Transaction<Result>): Result | Promise<Result> {
    try {
      return this.#read(work);
    } catch (error) {
      if (!isBusy(error)) throw error;
      return this.read(work);
    }
  }

  #read<Result>(work: () => Transaction<Result>): Result {
    const steps = work();
    const one = steps.next();
    if (one.done) return one.value;
    const { value: statement } = one;
    if ("text" in statement && !this.#openings.has(statement.text)) {
      // One statement sees one state by itself.
      const next = steps.next(this.#connection.read(statement));
      if (next.done) return next.value;
      this.#openings.add(statement.text);
    }
    return this.#readSeveral(work);
  }

  /** From its beginning, so that all statements see the state that the first one sees. */
  #readSeveral<Result>(work: () => Transaction<Result>): Result {
    this.#connection.run(BEGIN);
    try {
      return runAtOnce(work(), (statement) => this.#connection.read(statement));
    } finally {
      this.#connection.run(COMMIT);
    }
  }

  write<Result>(work: () => Transaction<Result>, durability: Durability = "durable"): Promise<Result> {
    const { promise, resolve, reject } = Promise.withResolvers<Result>();
    let result: Result;
    this.#waiting.push({
      durability,
      run: () => void (result = runAtOnce(work(), (statement) => this.#connection.run(statement))),
      resolve: () => resolve(result),
      reject,
    });
    // Not at once: requests that are already readable get to join.
    this.#committing ??= nextTurn().then(() => this.#commitWaiting());
    return promise;
  }

  lastCommit(): number {
    return this.#lastCommitOfTurn.get("database");
  }

  #findLastCommit(): number {
    try {
      const dataVersion = (this.#watcher ?? this.#connection).run(DATA_VERSION)[0]?.["data_version"];
      if (dataVersion !== this.#dataVersion) this.#lastCommit++;
      this.#dataVersion = dataVersion;
    } catch (error) {
      if (!isBusy(error)) throw error;
      this.#lastCommit++; // it may be anything
    }
    return this.#lastCommit;
  }

  /** The event loop goes on meanwhile. */
  async flush(): Promise<void> {
    if (this.#broken) throw this.#broken;
    await syncData(this.#log).catch((error: unknown) => {
      throw (this.#broken = syncFailure(error));
    });
  }

  async checkReady(): Promise<void> {
    if (this.#broken) throw this.#broken;
    await this.read(() => run("pragma user_version"));
  }

  /** The engine, which closes `other` when it is closed. */
  closingAlso(other: { close(): void }): this {
    this.#others.push(other);
    return this;
  }

  async close(): Promise<void> {
    await this.#committing;
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#checkpoints?.end();
    closeSync(this.#log);
    this.#watcher?.close();
    this.#connection.close();
    this.#checkpoints?.[Symbol.dispose]();
    for (const other of this.#others) other.close();
  }

  async #commitWaiting(): Promise<void> {
    while (this.#waiting.length > 0) {
      const members = this.#waiting;
      this.#waiting = [];
      try {
        await this.#checkpoints?.held;
        if (this.#broken) throw this.#broken;
        const failures = await this.#writeRetry.run(() => this.#commit(members));
        this.#checkpoints?.committed();
        const committed = members.filter((member) => !failures.has(member));
        const durable = committed.filter(({ durability }) => durability === "durable");
        for (const [member, error] of failures) member.reject(error);
        for (const member of committed) if (member.durability === "soon") member.resolve();
        if (durable.length > 0) await this.flush(); // a write that comes meanwhile is in the next group
        for (const member of durable) member.resolve();
      } catch (error) {
        for (const member of members) member.reject(error);
      }
    }
    this.#committing = undefined;
  }

  /**
   * Runs all members and commits; returns what was thrown by those whose work was undone. No caller is told anything before
   * the commit: when the database is busy, or one of them throws, all members run again, and may end otherwise. Nothing here
   * waits.
   */
  #commit(members: readonly Member[]): ReadonlyMap<Member, unknown> {
    const failures = new Map<Member, unknown>();
    let hasThrown = false;
    try {
      this.#transact(() => {
        for (const member of members) {
          hasThrown = true;
          member.run();
          hasThrown = false;
        }
      });
      return failures;
    } catch (error) {
      // What one that is alone throws undoes the transaction, which is its own.
      if (!hasThrown || members.length === 1 || this.#broken || isBusy(error)) throw error;
    }
    // Savepoints cost as much as a small write: they are made when a member needs one.
    this.#transact(() => {
      for (const member of members) this.#runMember(member, failures);
    });
    return failures;
  }

  /** Commits what `work` wrote, or undoes it and passes on what was thrown. */
  #transact(work: () => void): void {
    this.#connection.run(BEGIN_WRITING);
    try {
      work();
      this.#connection.run(COMMIT);
      this.#lastCommitOfTurn.clear();
      if (!this.#watcher) this.#lastCommit++;
    } catch (error) {
      rollBack(this.#connection);
      if (isSyncFailure(sqliteCode(error))) this.#broken = syncFailure(error);
      throw error;
    }
  }

  /** Work that throws is undone and noted in `failures`, and the others go on. */
  #runMember(member: Member, failures: Map<Member, unknown>): void {
    this.#connection.run(SAVE);
    try {
      member.run();
    } catch (error) {
      if (isBusy(error)) throw error;
      try {
        this.#connection.exec("rollback to member; release member");
      } catch {
        throw error; // SQLite gave the whole transaction up, as it does when the disk is full
      }
      failures.set(member, error);
      return;
    }
    this.#connection.run(KEEP);
  }
}

function syncFailure(cause: unknown): Error {
  return new Error("the database could not be synced to its disk; restart when the disk is well again", { cause });
}

/** Which migrations a database has had; 0 for an empty one. */
export function schemaVersion(connection: Connection): number {
  const [row] = connection.run({ text: "pragma user_version", values: [] });
  return Number(row?.["user_version"] ?? 0);
}

function rollBack(connection: Connection): void {
  try {
    connection.exec("rollback");
  } catch {
    // SQLite has rolled back by itself: after a full disk or an I/O error it does.
  }
}

function migrate(connection: Connection): void {
  connection.exec("begin immediate");
  try {
    const pending = pendingMigrations(schemaVersion(connection), SQLITE_MIGRATIONS);
    for (const step of pending) connection.exec(step);
    if (pending.length > 0) connection.exec(`pragma user_version = ${SCHEMA_VERSION}`);
    connection.exec("commit");
  } catch (error) {
    rollBack(connection);
    throw error;
  }
}
