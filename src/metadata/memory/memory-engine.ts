/**
 * SQL in the memory of the process: SQLite compiled to WebAssembly, so that it runs wherever JavaScript does and obeys
 * the very statements that a registry on disk obeys.
 */
import initSqlJs from "sql.js";
import type { Database, SqlJsStatic, Statement as Prepared } from "sql.js";
import { HoldersOfThisProcess } from "../holders.ts";
import type { Holders } from "../holders.ts";
import { SQLITE_MIGRATIONS } from "../migrations/migrations.ts";
import { runAtOnce } from "../sql.ts";
import type { Row, SqlEngine, Statement, Transaction } from "../sql.ts";

/** A database with every migration and no rows. Made once, because the migrations take a hundred times as long as a copy. */
let emptyDatabase: Uint8Array | undefined;

function makeEmptyDatabase(sqlite: SqlJsStatic): Uint8Array {
  const database = new sqlite.Database();
  try {
    database.run(`begin; ${SQLITE_MIGRATIONS.join("\n")}; commit`);
    return database.export();
  } finally {
    database.close();
  }
}

export class MemoryEngine implements SqlEngine {
  readonly holders: Holders = new HoldersOfThisProcess();
  readonly #database: Database;
  readonly #prepared = new Map<string, Prepared>();
  #commits = 0;

  private constructor(database: Database) {
    this.#database = database;
  }

  static async open(): Promise<MemoryEngine> {
    const sqlite = await initSqlJs(); // compiled once, at the first call
    const database = new sqlite.Database((emptyDatabase ??= makeEmptyDatabase(sqlite)));
    database.exec("pragma foreign_keys = on; pragma case_sensitive_like = on");
    return new MemoryEngine(database);
  }

  async read<Result>(work: () => Transaction<Result>): Promise<Result> {
    return this.readNow(work);
  }

  readNow<Result>(work: () => Transaction<Result>): Result {
    return runAtOnce(work(), (statement) => this.#run(statement));
  }

  async write<Result>(work: () => Transaction<Result>): Promise<Result> {
    this.#database.exec("begin");
    try {
      const result = runAtOnce(work(), (statement) => this.#run(statement));
      this.#database.exec("commit");
      this.#commits++;
      return result;
    } catch (error) {
      this.#database.exec("rollback");
      throw error;
    }
  }

  lastCommit(): number {
    return this.#commits;
  }

  async checkReady(): Promise<void> {}

  async flush(): Promise<void> {}

  async close(): Promise<void> {
    this.#database.close();
  }

  #run(statement: Statement): readonly Row[] {
    let prepared = this.#prepared.get(statement.text);
    if (!prepared) {
      prepared = this.#database.prepare(statement.text.replaceAll(/\$(\d+)/g, "?$1"));
      this.#prepared.set(statement.text, prepared);
    }
    try {
      prepared.bind([...statement.values]);
      const found: Row[] = [];
      while (prepared.step()) found.push(prepared.getAsObject());
      return found;
    } finally {
      prepared.reset();
    }
  }
}
