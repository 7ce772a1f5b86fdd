/** Keys in the database that tokens are signed with. */
import { integer, query, text, truth } from "./columns.ts";
import type { Database } from "./database.ts";
import { lockNamed } from "./locks.ts";
import { moveAccounts } from "./revisions.ts";
import { bound, locked, rows, rowsOf, run } from "./sql.ts";
import type { Transaction } from "./sql.ts";

export interface StoredSigningKey {
  readonly id: string;
  /** As JWK in JSON, the private part included. */
  readonly jwk: string;
  readonly createdAt: number;
}

const LIST = query(
  { id: text, jwk: text, createdAt: integer },
  `select id, jwk, created_at from signing_key order by created_at desc, id`,
);

const HAS_SINCE = query({ found: truth }, `select 1 as found from signing_key where created_at > $1`);

const ADD = `insert into signing_key (id, jwk, created_at) values ($1, $2, $3)`;

const FORGET = `delete from signing_key where created_at <= $1`;

export class StoredSigningKeys {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Newest first. */
  list(): Promise<readonly StoredSigningKey[]> {
    return this.#database.engine.read(() => rows(LIST));
  }

  /** Adds a key unless one was made after `unlessAfter`, and forgets those that were made until `forgetUntil`. */
  add(
    { id, jwk, createdAt }: StoredSigningKey,
    { unlessAfter, forgetUntil }: { readonly unlessAfter: number; readonly forgetUntil: number },
  ): Promise<void> {
    return this.#database.engine.write(function* (): Transaction<void> {
      if ((yield* rowsOf(locked([lockNamed("signing keys")], bound(HAS_SINCE, unlessAfter)))).length > 0) return;
      yield* run(ADD, id, jwk, createdAt);
      yield* run(FORGET, forgetUntil);
      yield* moveAccounts();
    });
  }
}
