/** The trash: keys of the store that no record names any more, until their bytes are unlinked. */
import { query, text } from "./columns.ts";
import type { Database } from "./database.ts";
import { BACKUP_LEASE } from "./leases.ts";
import { rows, run } from "./sql.ts";
import type { Transaction } from "./sql.ts";

/** How long after its row a file is kept: a reader may have read the row and not opened the file yet. */
export const UNLINK_DELAY_MS = 60_000;

const ADD = `
  insert into trash (storage_key, after) values ($1, $2) on conflict (storage_key) do nothing`;

const ADD_ALL = `
  insert into trash (storage_key, after) select value, $2 from json_each($1) where true
  on conflict (storage_key) do nothing`;

// A backup that begins later copies a database without these keys: what this statement returns may go whenever.
const DUE = query(
  { storageKey: text },
  `
  select storage_key from trash
  where after <= cast($1 as bigint) + $2
    and not exists (select 1 from lease where name = '${BACKUP_LEASE}' and until > $1)
  order by after, storage_key limit $3`,
);

const FORGET = `delete from trash where storage_key in (select value from json_each($1))`;

/** Moves the bytes under `key` to the trash: they may be removed after that time. */
export function moveToTrash(key: string, after: number): Transaction<void> {
  return run(ADD, key, after);
}

/** Moves the bytes under all of these keys to the trash. */
export function* moveAllToTrash(keys: readonly string[], after: number): Transaction<void> {
  if (keys.length > 0) yield* run(ADD_ALL, JSON.stringify(keys), after);
}

/** The keys of what an upload that came to nothing leaves in the store. */
export function keysOfUpload(upload: {
  readonly partKey: string;
  readonly finalKey: string | undefined;
}): readonly string[] {
  return upload.finalKey === undefined ? [upload.partKey] : [upload.partKey, upload.finalKey];
}

/** Takes keys out of the trash, because their bytes are gone or are named again. */
export function forgetKeys(keys: readonly string[]): Transaction<void> {
  return run(FORGET, JSON.stringify(keys));
}

export class Trash {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Keys whose bytes may be removed now, or within `aheadMs` from now; none while a backup holds its lease. */
  async due(limit: number, aheadMs = 0): Promise<readonly string[]> {
    const { engine, clock } = this.#database;
    return (await engine.read(() => rows(DUE, clock.now(), aheadMs, limit))).map(({ storageKey }) => storageKey);
  }

  /** Forgets keys whose bytes are gone. Durable after `flush`: to forget them again does no harm. */
  forget(keys: readonly string[]): Promise<void> {
    return this.#database.engine.write(() => forgetKeys(keys), "soon");
  }
}
