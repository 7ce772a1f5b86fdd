/** The tables of a registry as they are copied from one database into another one, which may be of another engine. */
import { createHash } from "node:crypto";
import { integer, optional, query } from "./columns.ts";
import { rows as rowsOf } from "./sql.ts";
import type { Row, Transaction } from "./sql.ts";

export interface CopiedTable {
  readonly name: string;
  /** The columns of its primary key: its rows are copied in the order of it. */
  readonly key: readonly string[];
  /** A column of bytes or text that may be large. */
  readonly large?: string;
  /** Whether the database numbers its rows, by the only column of the key. */
  readonly isNumbered?: boolean;
  /** Whether other engines may lack it, as long as it has no rows. */
  readonly isOptional?: boolean;
}

/** In an order in which no row refers to one that is not there yet. */
export const COPIED_TABLES: readonly CopiedTable[] = [
  { name: "repo", key: ["id"], isNumbered: true },
  { name: "blob", key: ["id"], isNumbered: true, large: "payload" },
  { name: "repo_blob", key: ["repo", "blob"] },
  { name: "manifest", key: ["id"], isNumbered: true, large: "payload" },
  { name: "manifest_blob", key: ["manifest", "blob"] },
  { name: "manifest_child", key: ["parent", "child"] },
  { name: "manifest_missing", key: ["manifest", "digest"] },
  { name: "former_subject", key: ["id"], isNumbered: true },
  { name: "tag", key: ["repo", "name"] },
  { name: "tag_count", key: ["manifest"] },
  { name: "tag_history", key: ["id"], isNumbered: true },
  { name: "signature", key: ["manifest", "name"], large: "content" },
  { name: "pin", key: ["manifest"] },
  { name: "job", key: ["id"], isNumbered: true },
  { name: "last_run", key: ["job"] },
  { name: "signing_key", key: ["id"] },
  { name: "account", key: ["name"] },
  { name: "robot_token", key: ["id"] },
  { name: "secret", key: ["name"] },
  { name: "event", key: ["seq"], isNumbered: true, large: "payload" },
  { name: "event_endpoint", key: ["name"] },
  { name: "dead_event", key: ["id"], isNumbered: true, large: "payload" },
  { name: "audit", key: ["id"], isNumbered: true },
  { name: "adoption", key: ["id"], isOptional: true },
  { name: "adopted_repository", key: ["name"], isOptional: true },
  { name: "adoption_finding", key: ["repository", "kind", "subject"], isOptional: true },
];

/** Tables that are not copied from engine to engine, and why. */
export const LEFT_TABLES: Readonly<Record<string, string>> = {
  upload: "the bytes of an open upload lie in one store, as that store has them: its client begins again",
  holder: "of running processes",
  lease: "of running processes",
  trash: "keys of one store, which the other one never had",
  change: "what caches of running processes rest on",
  revision: "what caches of running processes rest on",
  quota: "counted anew by the server that has the quotas in its settings",
};

/** Rows, and bytes of large columns, that are in memory at a time. */
const PAGE_ROWS = 1000;
const PAGE_BYTES = 4 * 1024 * 1024;

const LENGTH = { length: optional(integer) };

/**
 * Returns the rows that follow the row `after`, in the order of the key: some at the least, unless there are none. The columns are
 * read by the names that SQLite's schema has.
 */
export function* nextRows(
  { name, key, large }: CopiedTable,
  columns: readonly string[],
  after: Row | undefined,
): Transaction<readonly Row[]> {
  const keys = key.map((each) => `r.${each}`).join(", ");
  const values = after ? key.map((each) => after[each] as string | number | Uint8Array) : [];
  const begin = after ? `where (${keys}) > (${key.map((_, at) => `$${at + 1}`).join(", ")})` : "";
  const end = `${begin} order by ${keys} limit $${values.length + 1}`;
  let limit = PAGE_ROWS;
  if (large !== undefined) {
    const lengths = query(LENGTH, ["select", `length(r.${large}) as length from ${name} r`, end].join(" "));
    limit = fitting((yield* rowsOf(lengths, ...values, PAGE_ROWS)).map(({ length = 0 }) => length));
    if (limit === 0) return [];
  }
  const wanted = columns.map((column) => `r.${column} as ${column}`).join(", ");
  const text = ["select", wanted, `from ${name} r`, end].join(" ");
  return (yield { text, values: [...values, limit] }) as readonly Row[];
}

/** How many of these lengths, from the first on, are few enough; the first one always is. */
function fitting(lengths: readonly number[]): number {
  let sum = 0;
  const end = lengths.findIndex((length, at) => (sum += length) > PAGE_BYTES && at > 0);
  return end < 0 ? lengths.length : end;
}

/** A hash of rows, which is the same for rows that are the same, whatever the driver makes of their types. */
export class RowsHash {
  readonly #hash = createHash("sha256");
  #count = 0;

  add(columns: readonly string[], rows: readonly Row[]): void {
    for (const row of rows) this.#hash.update(JSON.stringify(columns.map((column) => comparable(row[column]))));
    this.#count += rows.length;
  }

  get count(): number {
    return this.#count;
  }

  /** The number of rows and their hash. It can be asked for once. */
  end(): string {
    return `${this.#count} ${this.#hash.digest("hex")}`;
  }
}

function comparable(value: unknown): string | null {
  if (value === null || value === undefined) return null;
  if (typeof value === "string") return value;
  if (typeof value === "number" || typeof value === "bigint") return value.toString();
  if (!(value instanceof Uint8Array)) throw new TypeError(`a ${typeof value} of a driver is in no column`);
  return Buffer.from(value.buffer, value.byteOffset, value.length).toString("hex");
}

/** The rows of a table in another database than in the one that it was copied from. */
export class CopyMismatchError extends Error {
  override readonly name = "CopyMismatchError";
}

/** A database file that no other program has open, whose rows are read and written while a transaction of another engine runs. */
export interface TableFile {
  /** The columns of a table, as SQLite's schema has them. */
  columnsOf(table: string): readonly string[];
  /** Removes all rows that are copied. */
  clear(): void;
  add(table: CopiedTable, columns: readonly string[], rows: readonly Row[]): void;
  /** The rows behind `after`; none at the end. */
  next(table: CopiedTable, columns: readonly string[], after: Row | undefined): readonly Row[];
  /** The last number that a row of the table ever had; 0 for none. */
  lastNumber(table: CopiedTable): number;
  /** Rows get larger numbers from then on. */
  setLastNumber(table: CopiedTable, number: number): void;
}

/** How far a copy is. */
export interface TableProgress {
  /** Called with the rows that are copied so far. */
  readonly onRows?: ((table: string, rows: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** All rows of a table in a file. */
export function* pagesOf(file: TableFile, table: CopiedTable, columns: readonly string[]): Generator<readonly Row[]> {
  for (let after: Row | undefined; ;) {
    const rows = file.next(table, columns, after);
    if (rows.length === 0) return;
    yield rows;
    after = rows.at(-1);
  }
}
