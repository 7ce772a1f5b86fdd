/** SQLite as the runtime brings it: `bun:sqlite` on Bun, `node:sqlite` on Node. */
import type * as BunSqlite from "bun:sqlite";
import type { Row, Value } from "../sql.ts";

/** A database file that is open. */
export interface SqliteDatabase {
  /** Runs text without values that gives no rows; several statements may stand in it. */
  exec(text: string): void;
  prepare(text: string): SqliteStatement;
  close(): void;
}

export interface SqliteStatement {
  /** Runs the statement to its end and returns its rows. */
  all(...values: readonly Value[]): readonly Row[];
  /** Releases the statement; a runtime without it releases statements when their database is closed. */
  finalize?(): void;
}

/** Opens the file, which is made when it is absent. Errors of the database are named `SQLiteError`, their `code` is SQLite's. */
export type OpenSqlite = (path: string) => SqliteDatabase;

/** This runtime has no SQLite; the message says which do. */
export class MissingSqliteError extends Error {
  override readonly name = "MissingSqliteError";
}

/** Returns what opens databases on this runtime. Throws `MissingSqliteError` where there is none. */
export function sqliteOfRuntime(): OpenSqlite {
  // Asked for by name at run time, because the module of the other runtime cannot be imported.
  if (process.versions["bun"] !== undefined) return sqliteOfBun;
  if (process.getBuiltinModule?.("node:sqlite")) return sqliteOfNode;
  throw new MissingSqliteError(
    "a registry in a folder needs SQLite, which this runtime lacks: use Bun, or Node 22.13 or newer (node:sqlite), " +
      'or keep the registry in memory with { storage: "memory" }',
  );
}

export const sqliteOfBun: OpenSqlite = (path) => {
  const { Database } = process.getBuiltinModule("bun:sqlite") as unknown as typeof BunSqlite;
  const database = new Database(path, { create: true, readwrite: true, strict: true });
  return {
    exec: (text) => void database.exec(text),
    prepare: (text) => database.prepare(text) as SqliteStatement,
    close: () => database.close(),
  };
};

export const sqliteOfNode: OpenSqlite = (path) => {
  const { DatabaseSync } = process.getBuiltinModule("node:sqlite");
  const database = named(() => new DatabaseSync(path));
  return {
    exec: (text) => named(() => database.exec(text)),
    prepare: (text) => {
      const statement = named(() => database.prepare(text));
      return { all: (...values) => named(() => statement.all(byName(values)) as Row[]) };
    },
    close: () => database.close(),
  };
};

/** The values under the names that they have in SQL: Node 22.13 takes `?1` for a name and not for a place. */
function byName(values: readonly Value[]): Record<string, Value> {
  return Object.fromEntries(values.map((value, at) => [`?${at + 1}`, value]));
}

/** Runs `call`; what `node:sqlite` throws is thrown under SQLite's own name, as `bun:sqlite` does. */
function named<Result>(call: () => Result): Result {
  try {
    return call();
  } catch (error) {
    const number = (error as { readonly errcode?: number }).errcode;
    if (!(error instanceof Error) || number === undefined) throw error;
    throw Object.assign(new Error(error.message, { cause: error }), { name: "SQLiteError", code: codeOf(number) });
  }
}

/** SQLite's name of a result code, such as `SQLITE_BUSY`. */
export function codeOf(number: number): string {
  return EXTENDED_CODES.get(number) ?? PRIMARY_CODES.get(number & 0xff) ?? "SQLITE_ERROR";
}

/** Names of result codes (https://www.sqlite.org/rescode.html), as far as the program tells them apart. */
const PRIMARY_CODES: ReadonlyMap<number, string> = new Map([
  [5, "SQLITE_BUSY"],
  [6, "SQLITE_LOCKED"],
  [8, "SQLITE_READONLY"],
  [10, "SQLITE_IOERR"],
  [11, "SQLITE_CORRUPT"],
  [13, "SQLITE_FULL"],
  [14, "SQLITE_CANTOPEN"],
  [19, "SQLITE_CONSTRAINT"],
  [26, "SQLITE_NOTADB"],
]);
const EXTENDED_CODES: ReadonlyMap<number, string> = new Map([
  [1034, "SQLITE_IOERR_FSYNC"],
  [1290, "SQLITE_IOERR_DIR_FSYNC"],
  [787, "SQLITE_CONSTRAINT_FOREIGNKEY"],
  [1555, "SQLITE_CONSTRAINT_PRIMARYKEY"],
  [1811, "SQLITE_CONSTRAINT_TRIGGER"],
  [2067, "SQLITE_CONSTRAINT_UNIQUE"],
]);
