/** One connection to a SQLite file, with its statements prepared once. */
import type { Row, Statement } from "../sql.ts";
import { sqliteOfRuntime } from "./binding.ts";
import type { SqliteDatabase, SqliteStatement } from "./binding.ts";

export class Connection {
  readonly #database: SqliteDatabase;
  readonly #prepared = new Map<string, SqliteStatement>();

  /** Texts that are known to read only. */
  readonly #reads = new Set<string>();

  private constructor(database: SqliteDatabase) {
    this.#database = database;
  }

  /** Opens the file, which is made when it is absent. Throws `MissingSqliteError` on a runtime without SQLite. */
  static open(path: string, pragmas: readonly string[], openSqlite = sqliteOfRuntime()): Connection {
    const connection = new Connection(openSqlite(path));
    for (const pragma of pragmas) connection.exec(`pragma ${pragma}`);
    return connection;
  }

  /** Runs text that has no values and gives no rows; several statements may stand in it. */
  exec(text: string): void {
    this.#database.exec(text);
  }

  /** As `run`, for what only reads: anything else is thrown out. */
  read(statement: Statement): readonly Row[] {
    if (!this.#reads.has(statement.text)) {
      if (!/^\s*(?:select|pragma)\b/i.test(statement.text)) throw new Error(`this is no reading: ${statement.text}`);
      this.#reads.add(statement.text);
    }
    return this.run(statement);
  }

  run(statement: Statement): readonly Row[] {
    let prepared = this.#prepared.get(statement.text);
    if (!prepared) {
      // SQLite takes $1 for a name and numbers names as they first appear; ?1 is what other engines mean by $1. Behind a
      // plus sign, which changes nothing, the planner does not look at the value: when it does, a join is planned anew for
      // each value that is bound, which costs many times what running it does.
      prepared = this.#database.prepare(statement.text.replaceAll(/\$(\d+)/g, "+?$1"));
      this.#prepared.set(statement.text, prepared);
    }
    return prepared.all(...statement.values);
  }

  close(): void {
    for (const prepared of this.#prepared.values()) prepared.finalize?.();
    this.#database.close();
  }
}

/** SQLite's name of an error, such as `SQLITE_BUSY`; undefined when the error is not SQLite's. */
export function sqliteCode(error: unknown): string | undefined {
  return error instanceof Error && error.name === "SQLiteError" ? (error as Error & { code?: string }).code : undefined;
}

/** Whether a sync of the disk failed: what was written before may or may not be there, and trying again lies. */
export function isSyncFailure(code: string | undefined): boolean {
  return /^SQLITE_IOERR_(?:DIR_)?FSYNC/.test(code ?? "");
}
