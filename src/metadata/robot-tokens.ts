/** Tokens of robots in the database. */
import { bytes, integer, json, optional, query, text } from "./columns.ts";
import type { Database } from "./database.ts";
import type { Page } from "./page.ts";
import { moveAccounts } from "./revisions.ts";
import { any, first, rows, run } from "./sql.ts";
import type { Transaction } from "./sql.ts";

/** What a robot logs in with; it never changes. */
export interface RobotTokenRecord {
  readonly id: string;
  readonly robot: string;
  readonly secretHash: Uint8Array;
  /** What may be done with it. */
  readonly grants: readonly { readonly repositories: string; readonly actions: readonly string[] }[];
  readonly createdAt: number;
  /** Undefined for never. */
  readonly expiresAt: number | undefined;
}

const COLUMNS = {
  id: text,
  robot: text,
  secretHash: bytes,
  grants: json<RobotTokenRecord["grants"]>(),
  createdAt: integer,
  expiresAt: optional(integer),
};

const SELECT = "select id, robot, secret_hash, grants, created_at, expires_at from robot_token";

const FIND = query(COLUMNS, `${SELECT} where id = $1`);

const LIST = query(COLUMNS, `${SELECT} where id > $1 order by id limit $2`);

const ADD = `
  insert into robot_token (id, robot, secret_hash, grants, created_at, expires_at) values ($1, $2, $3, $4, $5, $6)`;

const REMOVE = `delete from robot_token where id = $1 returning id`;

const REMOVE_OF_ROBOT = query({ id: text }, `delete from robot_token where robot = $1 returning id`);

export class RobotTokens {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Expired ones too. */
  find(id: string): Promise<RobotTokenRecord | undefined> {
    return this.#database.engine.read(() => first(FIND, id));
  }

  /** Tokens of all robots in order of their ids, expired ones too. */
  list({ after = "", limit }: Page): Promise<readonly RobotTokenRecord[]> {
    return this.#database.engine.read(() => rows(LIST, after, limit));
  }

  add(token: Omit<RobotTokenRecord, "createdAt">): Promise<void> {
    const { id, robot, secretHash, grants, expiresAt = null } = token;
    const { engine, clock } = this.#database;
    return engine.write(function* (): Transaction<void> {
      yield* run(ADD, id, robot, secretHash, JSON.stringify(grants), clock.now(), expiresAt);
      yield* moveAccounts();
    });
  }

  /** False when there is no such token. */
  remove(id: string): Promise<boolean> {
    return this.#database.engine.write(function* (): Transaction<boolean> {
      const isRemoved = yield* any(REMOVE, id);
      if (isRemoved) yield* moveAccounts();
      return isRemoved;
    });
  }

  /** Removes all tokens of a robot, and returns how many it had. */
  removeAllOf(robot: string): Promise<number> {
    return this.#database.engine.write(function* (): Transaction<number> {
      const removed = yield* rows(REMOVE_OF_ROBOT, robot);
      if (removed.length > 0) yield* moveAccounts();
      return removed.length;
    });
  }
}
