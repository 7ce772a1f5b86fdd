/** Leases of holders of uploads, and what each of them holds. */
import { integer, query, text } from "./columns.ts";
import type { Database } from "./database.ts";
import type { Holder, HolderFate } from "./holders.ts";
import { listed, rows, run } from "./sql.ts";
import type { Transaction } from "./sql.ts";

const RENEW = `
  insert into holder (id, until) values ($1, $2) on conflict (id) do update set until = excluded.until`;

/** A holder without a row has no lease: the same as one whose lease has ended. */
const FORGET_LAPSED = `delete from holder where until <= $1`;

const HELD = query(
  { id: text, version: integer },
  `select id, version from upload where id in (select value from json_each($2)) and claimed_by = $1`,
);

/** Makes the lease of a holder last until `until`. */
export function* renewHolder(id: string, until: number, now: number): Transaction<void> {
  yield* run(RENEW, id, until);
  yield* run(FORGET_LAPSED, now);
}

export class HolderLeases {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Returns a new holder, which belongs to this process. */
  announce(): Promise<Holder> {
    return this.#database.engine.holders.announce();
  }

  /** What is known of the holder beside its lease. */
  fateOf(id: string): Promise<HolderFate> {
    return this.#database.engine.holders.fateOf(id);
  }

  /** Makes the lease of a holder last until `until`. Durable after `flush`. */
  renew(id: string, until: number): Promise<void> {
    const { engine, clock } = this.#database;
    return engine.write(() => renewHolder(id, until, clock.now()), "soon");
  }

  /** Those of `uploads` that the holder has lost: they were taken over, or have ended. */
  async lostUploads(
    holder: string,
    uploads: readonly { readonly id: string; readonly version: number }[],
  ): Promise<readonly string[]> {
    const ids = listed(uploads.map(({ id }) => id));
    const held = await this.#database.engine.read(() => rows(HELD, holder, ids));
    const versions = new Map(held.map(({ id, version }) => [id, version]));
    return uploads.filter(({ id, version }) => versions.get(id) !== version).map(({ id }) => id);
  }
}
