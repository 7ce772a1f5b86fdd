/** The database file of a copy, written and read row by row, for a database of another engine on the other side. */
import { runAtOnce } from "../sql.ts";
import type { Row, Value } from "../sql.ts";
import { COPIED_TABLES, nextRows } from "../copied-tables.ts";
import type { CopiedTable, TableFile } from "../copied-tables.ts";
import { Connection } from "./connection.ts";
import { makeFileLikeFolder } from "./data-folder.ts";
import { SqliteEngine } from "./sqlite-engine.ts";

/** Nothing is kept of a file whose writing is interrupted. */
const PRAGMAS = [
  "locking_mode = exclusive",
  "journal_mode = off",
  "synchronous = off",
  "foreign_keys = off",
  "temp_store = file",
];

export class CopyFile implements TableFile, Disposable {
  readonly #connection: Connection;

  private constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Makes the file, with the tables of a registry and nothing in them. */
  static async create(path: string): Promise<CopyFile> {
    makeFileLikeFolder(path);
    await (await SqliteEngine.open(path, { alone: true })).close();
    return CopyFile.open(path);
  }

  /** Opens a file whose schema is that of this program. */
  static open(path: string): CopyFile {
    return new CopyFile(Connection.open(path, PRAGMAS));
  }

  columnsOf(table: string): readonly string[] {
    return this.#run("select name from pragma_table_info($1)", table).map(({ name }) => String(name));
  }

  clear(): void {
    for (const { name } of COPIED_TABLES.toReversed()) this.#connection.exec(`delete from ${name}`);
    this.#connection.exec("delete from sqlite_sequence");
  }

  add({ name }: CopiedTable, columns: readonly string[], rows: readonly Row[]): void {
    const places = columns.map((_, at) => `$${at + 1}`).join(", ");
    const text = `insert into ${name} (${columns.join(", ")}) values (${places})`;
    for (const row of rows) this.#run(text, ...columns.map((column) => valueOf(row[column])));
  }

  next(table: CopiedTable, columns: readonly string[], after: Row | undefined): readonly Row[] {
    return runAtOnce(nextRows(table, columns, after), (statement) => this.#connection.run(statement));
  }

  lastNumber({ name, key: [id = "id"] }: CopiedTable): number {
    const [row] = this.#run(
      `select max(coalesce((select max(${id}) from ${name}), 0),
        coalesce((select seq from sqlite_sequence where name = $1), 0)) as last`,
      name,
    );
    return Number(row?.["last"] ?? 0);
  }

  /** Only where numbers are never used again. */
  setLastNumber(numbered: CopiedTable, number: number): void {
    const { name } = numbered;
    const [table] = this.#run("select 1 from sqlite_schema where name = $1 and sql like '%autoincrement%'", name);
    if (!table) return;
    const last = Math.max(number, this.lastNumber(numbered));
    this.#run("delete from sqlite_sequence where name = $1", name);
    this.#run("insert into sqlite_sequence (name, seq) values ($1, $2)", name, last);
  }

  /**
   * Writes rows by `work`, without what the schema does by itself when rows are written one by one: counting. Throws when a row
   * refers to one that is not there.
   */
  async fill<Result>(work: () => Promise<Result>): Promise<Result> {
    const triggers = this.#run("select name, sql from sqlite_schema where type = 'trigger'");
    for (const { name } of triggers) this.#connection.exec(`drop trigger ${String(name)}`);
    this.#connection.exec("begin");
    const result = await work();
    this.#connection.exec("commit");
    for (const { sql } of triggers) this.#connection.exec(String(sql));
    const [dangling] = this.#run("select * from pragma_foreign_key_check limit 1");
    if (dangling) throw new Error(`a row of ${String(dangling["table"])} refers to a row that is not there`);
    return result;
  }

  /** Throws when the file is not a whole database. */
  checkPages(): void {
    const [row] = this.#run("pragma quick_check(1)");
    const said = Object.values(row ?? {})[0];
    if (said !== "ok") throw new Error(`the copy of the database is corrupt: ${String(said)}`);
  }

  /** Replaces a secret that all processes on the database share. */
  setSecret(name: string, value: Uint8Array): void {
    this.#run(
      "insert into secret (name, value) values ($1, $2) on conflict (name) do update set value = excluded.value",
      name,
      value,
    );
  }

  [Symbol.dispose](): void {
    this.#connection.close();
  }

  #run(text: string, ...values: readonly Value[]): readonly Row[] {
    return this.#connection.run({ text, values });
  }
}

/** As SQLite takes it: a large integer of a driver as text, which the column makes a number again. */
function valueOf(value: unknown): Value {
  if (value === null || value === undefined) return null;
  if (value instanceof Uint8Array || typeof value === "number" || typeof value === "string") return value;
  if (typeof value === "bigint") return value.toString();
  throw new TypeError(`a ${typeof value} of a driver is nothing that SQLite stores`);
}
