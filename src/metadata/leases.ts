/** Statements about work that one process at a time does. They need not outlive a power loss: no holder does. */
import { first, rows } from "./sql.ts";
import type { Transaction } from "./sql.ts";

/** While this lease is held, no bytes are removed: a copy of the registry is being made. */
export const BACKUP_LEASE = "backup";

const TAKE = `
  insert into lease (name, holder, until) values ($1, $2, $3)
  on conflict (name) do update set holder = excluded.holder, until = excluded.until
  where lease.until <= $4
  returning name`;

// A lease that has ended is lost, whether or not another holder took it: what it kept away may have come between.
const RENEW = `update lease set until = $3 where name = $1 and holder = $2 and until > $4 returning name`;

const RELEASE = `delete from lease where name = $1 and holder = $2`;

const HELD = `select 1 as found from lease where name = $1 and until > $2`;

export function* takeLease(name: string, holder: string, until: number, now: number): Transaction<boolean> {
  return (yield* first(TAKE, name, holder, until, now)) !== undefined;
}

export function* renewLease(name: string, holder: string, until: number, now: number): Transaction<boolean> {
  return (yield* first(RENEW, name, holder, until, now)) !== undefined;
}

export function* releaseLease(name: string, holder: string): Transaction<void> {
  yield* rows(RELEASE, name, holder);
}

export function* leaseHeld(name: string, now: number): Transaction<boolean> {
  return (yield* first(HELD, name, now)) !== undefined;
}
