/** Brings the schema of a PostgreSQL database up to date: one process at a time, and none when nothing is to be done. */
import { integer } from "../columns.ts";
import { SchemaError } from "../migrations/migrations.ts";
import type { PostgresMigration } from "../migrations/migrations.ts";
import type { PooledConnection } from "./connection-pool.ts";
import type { Row } from "../sql.ts";
import { rowsOf } from "./wire.ts";
import type { WireStatement } from "./wire.ts";

/** How long statements that change tables wait for others: statements behind them wait as long. */
const LOCK_TIMEOUT_MS = 3000;

/** The advisory lock of a process that changes the schema: "stow" in ASCII. */
const MIGRATION_LOCK = 0x73_74_6f_77;

const FIND_TABLE = `select to_regclass('stowage_schema') is not null as is_there`;
const MAKE_TABLE = `
  create table if not exists stowage_schema (
    only_row boolean primary key default true check (only_row),
    version integer not null,
    compatible_from integer not null
  )`;
const FIND_VERSION = `select version, compatible_from from stowage_schema`;
const SET_VERSION = `
  insert into stowage_schema (version, compatible_from) values ($1, $2)
  on conflict (only_row) do update set version = excluded.version, compatible_from = excluded.compatible_from`;

/** Runs the steps that the database still needs, all or none. Throws `SchemaError` when it is of a newer program. */
export async function migrate(connection: PooledConnection, migrations: readonly PostgresMigration[]): Promise<void> {
  const { length } = migrations;
  if ((await versionOf(connection, length)) >= length) return;
  const begin = `
    begin;
    set local lock_timeout = ${LOCK_TIMEOUT_MS};
    select pg_advisory_xact_lock(${MIGRATION_LOCK})`;
  try {
    await execute(connection, { text: begin });
    await execute(connection, { text: MAKE_TABLE });
    const version = await versionOf(connection, length); // another process may have done it while this one waited
    for (const { text } of migrations.slice(version)) await execute(connection, { text });
    const last = migrations.at(-1);
    if (version < length && last) {
      await execute(connection, { text: SET_VERSION, values: [length, last.compatibleFrom] });
    }
    await execute(connection, { text: "commit" });
  } catch (error) {
    connection.spoil(); // which rolls back
    throw error;
  }
}

/** Which migrations the database has had; 0 for an empty one. */
async function versionOf(connection: PooledConnection, known: number): Promise<number> {
  const [table] = await execute(connection, { text: FIND_TABLE, values: [] });
  if (table?.["is_there"] !== true) return 0;
  const [row] = await execute(connection, { text: FIND_VERSION, values: [] });
  if (!row) return 0;
  const [version, compatibleFrom] = [integer(row["version"]), integer(row["compatible_from"])];
  if (compatibleFrom > known) {
    throw new SchemaError(
      `the database has schema version ${version}, which needs a program that knows version ${compatibleFrom} or later, ` +
        `and this one knows versions up to ${known}: start the newer Stowage that wrote it`,
    );
  }
  return version;
}

async function execute(connection: PooledConnection, statement: WireStatement): Promise<readonly Row[]> {
  return rowsOf((await connection.send([statement]))[0]);
}
