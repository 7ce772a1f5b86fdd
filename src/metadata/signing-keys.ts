/** Statements about the keys that tokens are signed with. */
import type { StoredSigningKey } from "./metadata-store.ts";
import { moveAccounts } from "./revisions.ts";
import { rows, first } from "./sql.ts";
import type { Transaction } from "./sql.ts";

const LIST = `select id, jwk, created_at from signing_key order by created_at desc, id`;

const HAS_SINCE = `select 1 as found from signing_key where created_at > $1`;

const ADD = `insert into signing_key (id, jwk, created_at) values ($1, $2, $3)`;

const FORGET = `delete from signing_key where created_at <= $1`;

export function* listSigningKeys(): Transaction<readonly StoredSigningKey[]> {
  const found = yield* rows<{ id: string; jwk: string; created_at: number }>(LIST);
  return found.map((row) => ({ id: row.id, jwk: row.jwk, createdAt: row.created_at }));
}

export function* addSigningKey(
  key: StoredSigningKey,
  { unlessAfter, forgetUntil }: { readonly unlessAfter: number; readonly forgetUntil: number },
): Transaction<void> {
  if (yield* first(HAS_SINCE, unlessAfter)) return;
  yield* rows(ADD, key.id, key.jwk, key.createdAt);
  yield* rows(FORGET, forgetUntil);
  yield* moveAccounts();
}
