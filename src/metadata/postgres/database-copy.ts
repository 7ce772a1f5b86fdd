/** Copies a whole registry out of a PostgreSQL database into a file, and out of a file into a PostgreSQL database. */
import { integer, query, text, truth } from "../columns.ts";
import { COPIED_TABLES, CopyMismatchError, RowsHash, nextRows, pagesOf } from "../copied-tables.ts";
import type { CopiedTable, TableFile, TableProgress } from "../copied-tables.ts";
import { any, first, rows, run, statement } from "../sql.ts";
import type { Row, SqlEngine, Transaction } from "../sql.ts";

/** The moment that a copy is of, to compare with later ones. */
export interface PostgresMoment {
  readonly snapshot: string;
  readonly revisions: number;
}

const MOMENT = query(
  { snapshot: text, revisions: integer },
  `select pg_current_snapshot()::text as snapshot, (select sum(number) from revision)::bigint as revisions`,
);

const IS_UNCHANGED = query(
  { isUnchanged: truth },
  `
  select not exists (select 1 from change where not pg_visible_in_snapshot(transaction, $1::pg_snapshot))
    and (select sum(number) from revision) = $2 as is_unchanged`,
);

const COLUMNS = query(
  { name: text },
  `select column_name::text as name from information_schema.columns where table_schema = current_schema() and table_name = $1`,
);

/** The name of a column where it is not that of SQLite's schema, when rows are written. */
const WRITTEN_AS: Readonly<Record<string, string>> = { "repo.bytes": "counted_bytes", "repo.tags": "counted_tags" };

/** Where transactions insert events (`event-numbering.ts`). */
const NEW_EVENT: CopiedTable = { name: "new_event", key: ["id"], large: "payload" };
const EVENT_COLUMNS = ["at", "bytes", "payload"] as const;

/** What a registry has that was used: a database without these is empty. */
const IS_USED = query(
  { isUsed: truth },
  `
  select exists (select 1 from repo) or exists (select 1 from blob) or exists (select 1 from account)
    or exists (select 1 from robot_token) as is_used`,
);

/**
 * Copies all rows as they are at one moment, in one transaction that only reads. Throws `CopyMismatchError` when the file has other rows
 * afterwards. The file is filled from its beginning when the connection breaks and the work is done again.
 */
export async function copyFromPostgres(
  engine: SqlEngine,
  file: TableFile,
  { onRows, signal }: TableProgress = {},
): Promise<PostgresMoment> {
  return await engine.read(function* (): Transaction<PostgresMoment> {
    const moment = yield* first(MOMENT);
    if (!moment) throw new Error("PostgreSQL said nothing about its snapshot");
    file.clear();
    for (const table of COPIED_TABLES) {
      const columns = file.columnsOf(table.name);
      if (!(yield* hasTable(table, columns))) continue;
      // Page by page: a file that is read whole keeps the server waiting, which ends the transaction, and leases from being renewed.
      const [source, target] = [new RowsHash(), new RowsHash()];
      for (let after: Row | undefined; ;) {
        signal?.throwIfAborted();
        const found = yield* nextRows(table, columns, after);
        if (found.length === 0) break;
        file.add(table, columns, found);
        source.add(columns, found);
        target.add(columns, file.next(table, columns, after));
        after = found.at(-1);
        onRows?.(table.name, source.count);
      }
      if (table.isNumbered) file.setLastNumber(table, yield* lastNumber(table));
      compare(table, source.end(), target.end());
      if (table.name === "event") yield* copyNewEvents(table, file);
    }
    return moment;
  });
}

/** Events that have no numbers yet get those behind the last one. */
function* copyNewEvents(event: CopiedTable, file: TableFile): Transaction<void> {
  let seq = file.lastNumber(event);
  for (let after: Row | undefined; ;) {
    const found = yield* nextRows(NEW_EVENT, ["id", ...EVENT_COLUMNS], after);
    if (found.length === 0) return;
    file.add(
      event,
      ["seq", ...EVENT_COLUMNS],
      found.map((row) => ({ ...row, seq: ++seq })),
    );
    after = found.at(-1);
  }
}

/** Whether nothing has changed since that readers of the registry could see. */
export async function isUnchangedSince(engine: SqlEngine, { snapshot, revisions }: PostgresMoment): Promise<boolean> {
  return (await engine.read(() => first(IS_UNCHANGED, snapshot, revisions)))?.isUnchanged ?? false;
}

/** Whether the database has the rows of a registry that was used. */
export async function isUsed(engine: SqlEngine): Promise<boolean> {
  return (await engine.read(() => first(IS_USED)))?.isUsed ?? true;
}

/** Whether the database has this secret of this name. */
export async function hasSecret(engine: SqlEngine, name: string, value: Uint8Array): Promise<boolean> {
  return await engine.read(() => any("select 1 from secret where name = $1 and value = $2", name, value));
}

/** Replaces a secret that all processes on the database share. */
export async function setSecret(engine: SqlEngine, name: string, value: Uint8Array): Promise<void> {
  await engine.write(() => run("update secret set value = $2 where name = $1", name, value));
}

/**
 * Writes all rows of the file into the database, in one transaction, which compares them with the file before it ends. False, and
 * nothing is changed, when the database has rows of a registry.
 */
export async function loadIntoPostgres(
  engine: SqlEngine,
  file: TableFile,
  { onRows, signal }: TableProgress = {},
): Promise<boolean> {
  const isLoaded = await engine.write(function* (): Transaction<boolean> {
    yield statement("lock table repo, blob, account, robot_token in access exclusive mode");
    if ((yield* first(IS_USED))?.isUsed !== false) return false;
    const tables: (readonly [CopiedTable, readonly string[]])[] = [];
    for (const table of COPIED_TABLES) {
      const columns = file.columnsOf(table.name);
      if (yield* hasTable(table, columns)) tables.push([table, columns]);
      else if (file.next(table, columns, undefined).length > 0) {
        throw new Error(`the registry has rows in ${table.name}, which PostgreSQL has no table for`);
      }
    }
    // What the triggers count is copied too.
    for (const [{ name }] of tables) yield statement(`alter table ${name} disable trigger user`);
    for (const [{ name }] of tables.toReversed()) yield statement(`delete from ${name}`);
    const written = new Map<CopiedTable, RowsHash>();
    for (const [table, columns] of tables) {
      const hash = new RowsHash();
      for (const found of pagesOf(file, table, columns)) {
        signal?.throwIfAborted();
        yield insertion(table, columns, found);
        hash.add(columns, found);
        onRows?.(table.name, hash.count);
      }
      written.set(table, hash);
      if (table.isNumbered) yield* setLastNumber(table, file.lastNumber(table));
    }
    yield statement("delete from usage_delta");
    yield statement("delete from new_event");
    for (const [{ name }] of tables) yield statement(`alter table ${name} enable trigger user`);
    for (const [table, columns] of tables) {
      const hash = new RowsHash();
      for (let after: Row | undefined; ;) {
        signal?.throwIfAborted();
        const found = yield* nextRows(table, columns, after);
        if (found.length === 0) break;
        hash.add(columns, found);
        after = found.at(-1);
      }
      compare(table, written.get(table)?.end() ?? "", hash.end());
    }
    return true;
  });
  if (isLoaded) {
    await engine.write(function* (): Transaction<void> {
      for (const { name, isOptional } of COPIED_TABLES) if (!isOptional) yield statement(`analyze ${name}`);
    });
  }
  return isLoaded;
}

/** Removes what `loadIntoPostgres` wrote. */
export async function emptyPostgres(engine: SqlEngine): Promise<void> {
  await engine.write(function* (): Transaction<void> {
    const there: string[] = [];
    for (const { name } of COPIED_TABLES) if ((yield* rows(COLUMNS, name)).length > 0) there.push(name);
    yield statement(`truncate ${there.join(", ")}, usage_delta, new_event, upload`);
  });
}

/** Whether the database has the table. Throws when it has, and lacks one of the columns. */
function* hasTable({ name, isOptional }: CopiedTable, columns: readonly string[]): Transaction<boolean> {
  const there = new Set((yield* rows(COLUMNS, name)).map((column) => column.name));
  if (there.size === 0 && isOptional) return false;
  const missing = columns.find((column) => !there.has(writtenAs(name, column)));
  if (missing === undefined) return true;
  throw new Error(`the table ${name} of PostgreSQL has no column ${missing}: the schemas do not belong together`);
}

function writtenAs(table: string, column: string): string {
  return WRITTEN_AS[`${table}.${column}`] ?? column;
}

function insertion({ name }: CopiedTable, columns: readonly string[], found: readonly Row[]) {
  const names = columns.map((column) => writtenAs(name, column));
  const records = found.map((row) => Object.fromEntries(columns.map((column, at) => [names[at], jsonOf(row[column])])));
  const list = names.join(", ");
  return statement(
    `insert into ${name} (${list}) select ${list} from json_populate_recordset(null::${name}, $1::text::json)`,
    JSON.stringify(records),
  );
}

/** Bytes as PostgreSQL reads them in text. */
function jsonOf(value: unknown): unknown {
  if (!(value instanceof Uint8Array)) return value;
  return `\\x${Buffer.from(value.buffer, value.byteOffset, value.length).toString("hex")}`;
}

function* lastNumber({ name, key: [id = "id"] }: CopiedTable): Transaction<number> {
  const last = query(
    { last: integer },
    `select coalesce(pg_sequence_last_value(pg_get_serial_sequence('${name}', '${id}')::regclass), 0)::bigint as last`,
  );
  return (yield* first(last))?.last ?? 0;
}

function* setLastNumber({ name, key: [id = "id"] }: CopiedTable, number: number): Transaction<void> {
  yield statement(
    `select setval(pg_get_serial_sequence('${name}', '${id}'), greatest(coalesce((select max(${id}) from ${name}), 0), $1::bigint, 1))`,
    number,
  );
}

function compare({ name }: CopiedTable, source: string, target: string): void {
  if (source === target) return;
  const [wanted = "", found = ""] = [source, target].map((hash) => hash.split(" ")[0]);
  throw new CopyMismatchError(
    wanted === found
      ? `rows of ${name} are not the same in both databases`
      : `of ${wanted} rows of ${name} ${found} came over`,
  );
}
