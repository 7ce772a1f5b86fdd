/** Statements about what operators changed by commands: an outbox, which a server empties into the audit. */
import type { Operation } from "./metadata-store.ts";
import { rows } from "./sql.ts";
import type { Transaction } from "./sql.ts";

const RECORD = `insert into operation (at, who, command) values ($1, $2, $3)`;

const WAITING = `select id, at, who, command from operation order by id limit $1`;

const FORGET = `delete from operation where id <= $1`;

export function* recordOperation(who: string, command: string, at: number): Transaction<void> {
  yield* rows(RECORD, at, who, command);
}

/** In the order in which they were recorded. */
export function* waitingOperations(limit: number): Transaction<readonly Operation[]> {
  return yield* rows<Operation>(WAITING, limit);
}

/** Forgets those up to `id`, which are in the audit. */
export function* forgetOperations(id: number): Transaction<void> {
  yield* rows(FORGET, id);
}
