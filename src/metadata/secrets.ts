/** Statements about secrets that all processes on a database share. */
import { first, rows } from "./sql.ts";
import type { Transaction } from "./sql.ts";

const FIND = `select value from secret where name = $1`;

const ADD = `insert into secret (name, value) values ($1, $2) on conflict (name) do nothing`;

export function* findSecret(name: string): Transaction<Uint8Array | undefined> {
  return (yield* first<{ value: Uint8Array }>(FIND, name))?.value;
}

/** Of processes that bring one at the same time, the first one's is everybody's. */
export function* provideSecret(name: string, fresh: Uint8Array): Transaction<Uint8Array> {
  yield* rows(ADD, name, fresh);
  return (yield* findSecret(name)) ?? fresh;
}
