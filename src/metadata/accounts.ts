/** Users in the database, and what they log in with. */
import { integer, json, query, text } from "./columns.ts";
import type { Database } from "./database.ts";
import type { Page } from "./page.ts";
import { moveAccounts } from "./revisions.ts";
import { any, first, rows } from "./sql.ts";
import type { Transaction } from "./sql.ts";

export interface UserRecord {
  readonly name: string;
  readonly passwordHash: string;
  readonly groups: readonly string[];
  /** Another one after each change. */
  readonly generation: string;
  readonly createdAt: number;
  readonly changedAt: number;
}

export type NewUser = Omit<UserRecord, "createdAt" | "changedAt">;

/** What is absent stays; the generation never does. */
export type UserChange = Pick<UserRecord, "generation"> & Partial<Pick<UserRecord, "passwordHash" | "groups">>;

const COLUMNS = {
  name: text,
  passwordHash: text,
  memberOf: json<readonly string[]>(),
  generation: text,
  createdAt: integer,
  changedAt: integer,
};

const SELECT = "select name, password_hash, member_of, generation, created_at, changed_at from account";

const FIND = query(COLUMNS, `${SELECT} where name = $1`);

const LIST = query(COLUMNS, `${SELECT} where name > $1 order by name limit $2`);

const ADD = `
  insert into account (name, password_hash, member_of, generation, created_at, changed_at) values ($1, $2, $3, $4, $5, $5)
  on conflict (name) do nothing returning name`;

const CHANGE = `
  update account set password_hash = coalesce($2, password_hash), member_of = coalesce($3, member_of), generation = $4,
    changed_at = $5
  where name = $1 returning name`;

const REMOVE = `delete from account where name = $1 returning name`;

export class Accounts {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async find(name: string): Promise<UserRecord | undefined> {
    const found = await this.#database.engine.read(() => first(FIND, name));
    return found && recordOf(found);
  }

  /** Users in byte order of their names. */
  async list({ after = "", limit }: Page): Promise<readonly UserRecord[]> {
    return (await this.#database.engine.read(() => rows(LIST, after, limit))).map(recordOf);
  }

  /** False when there is a user of this name. */
  add({ name, passwordHash, groups, generation }: NewUser): Promise<boolean> {
    return this.#change(ADD, name, passwordHash, JSON.stringify(groups), generation, this.#database.clock.now());
  }

  /** False when there is no such user. */
  change(name: string, { passwordHash, groups, generation }: UserChange): Promise<boolean> {
    const memberOf = groups ? JSON.stringify(groups) : null;
    return this.#change(CHANGE, name, passwordHash ?? null, memberOf, generation, this.#database.clock.now());
  }

  /** False when there is no such user. */
  remove(name: string): Promise<boolean> {
    return this.#change(REMOVE, name);
  }

  #change(statement: string, ...values: readonly (string | number | null)[]): Promise<boolean> {
    return this.#database.engine.write(function* (): Transaction<boolean> {
      const isChanged = yield* any(statement, ...values);
      if (isChanged) yield* moveAccounts();
      return isChanged;
    });
  }
}

function recordOf({ memberOf: groups, ...record }: ReturnType<typeof FIND.decode>): UserRecord {
  return { ...record, groups };
}
