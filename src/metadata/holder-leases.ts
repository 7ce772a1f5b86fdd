/** Statements about the leases of holders of uploads, and about what each of them holds. */
import { first, rows } from "./sql.ts";
import type { Transaction } from "./sql.ts";

const RENEW = `
  insert into holder (id, until) values ($1, $2) on conflict (id) do update set until = excluded.until`;

/** A holder without a row has no lease: the same as one whose lease has ended. */
const FORGET_LAPSED = `delete from holder where until <= $1`;

const IS_HELD = `select 1 as found from upload where id = $1 and version = $2 and claimed_by = $3`;

/** Makes the lease of a holder last until `until`. */
export function* renewHolder(id: string, until: number, now: number): Transaction<void> {
  yield* rows(RENEW, id, until);
  yield* rows(FORGET_LAPSED, now);
}

/** Those of `uploads` that the holder has lost: they were taken over, or have ended. */
export function* lostUploads(
  holder: string,
  uploads: readonly { readonly id: string; readonly version: number }[],
): Transaction<readonly string[]> {
  const lost: string[] = [];
  for (const { id, version } of uploads) if (!(yield* first(IS_HELD, id, version, holder))) lost.push(id);
  return lost;
}
