/**
 * Runs of the PostgreSQL server. A run ends when the server crashes, or when a standby takes over: then numbers of transactions
 * that were under way are given again, and what became of the old ones cannot be asked for.
 *
 * PostgreSQL empties an unlogged table at such a moment, and at no other
 * (https://www.postgresql.org/docs/current/sql-createtable.html#SQL-CREATETABLE-UNLOGGED): so the row in it names the run.
 */
import { optional, text } from "../columns.ts";
import type { PooledConnection } from "./connection-pool.ts";
import { WireError, rowsOf } from "./wire.ts";

const FIND_TABLE = `select to_regclass('stowage_run') is not null as is_there`;
const MAKE_TABLE = `create unlogged table if not exists stowage_run (id text not null)`;
/** What PostgreSQL says when another process makes the table at the same moment: unique_violation, duplicate_object, duplicate_table. */
const MADE_MEANWHILE: ReadonlySet<string> = new Set(["23505", "42710", "42P07"]);
/** Of several processes each may add a row: the first in their order counts, once all have. */
const BEGIN = `
  insert into stowage_run (id) select gen_random_uuid()::text where not exists (select 1 from stowage_run)`;

/** The run as a column, which is null until a process has named it. */
export const RUN = `(select min(id) from stowage_run)`;

/** Returns the name of the run, and gives it one when it has none. */
export async function nameRun(connection: PooledConnection): Promise<string> {
  const ask = async (statement: string): Promise<unknown> =>
    Object.values(rowsOf((await connection.send([{ text: statement, values: [] }]))[0])[0] ?? {})[0];
  if ((await ask(FIND_TABLE)) !== true) await ask(MAKE_TABLE).catch(ifMadeMeanwhile); // a program of before had none
  const find = async (): Promise<string | undefined> => optional(text)(await ask(`select ${RUN}`));
  const found = await find();
  if (found !== undefined) return found;
  await ask(BEGIN);
  return (await find()) ?? "";
}

function ifMadeMeanwhile(error: unknown): void {
  if (!(error instanceof WireError) || !MADE_MEANWHILE.has(error.code)) throw error;
}
