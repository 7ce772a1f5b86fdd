/** What operators changed by commands: an outbox, which a server empties into the audit. */
import { integer, query, text } from "./columns.ts";
import type { Database } from "./database.ts";
import { rows, run } from "./sql.ts";

export interface Operation {
  readonly id: number;
  /** Milliseconds since 1970. */
  readonly at: number;
  /** The user of the system that ran the command, such as `system:root`. */
  readonly who: string;
  /** Such as `tag delete team/app:v1`. */
  readonly command: string;
}

const RECORD = `insert into operation (at, who, command) values ($1, $2, $3)`;

const WAITING = query(
  { id: integer, at: integer, who: text, command: text },
  `select id, at, who, command from operation order by id limit $1`,
);

const FORGET = `delete from operation where id <= $1`;

export class Operations {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Records what an operator changed: it waits for a server that writes it to the audit. */
  record(who: string, command: string): Promise<void> {
    const { engine, clock } = this.#database;
    return engine.write(() => run(RECORD, clock.now(), who, command));
  }

  /** The oldest operations that no server has written to the audit yet, in the order in which they were recorded. */
  waiting(limit: number): Promise<readonly Operation[]> {
    return this.#database.engine.read(() => rows(WAITING, limit));
  }

  /** Forgets those up to `id`, which are in the audit. */
  forget(id: number): Promise<void> {
    return this.#database.engine.write(() => run(FORGET, id));
  }
}
