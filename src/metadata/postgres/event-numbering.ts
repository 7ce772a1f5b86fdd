/**
 * Numbers of events. Transactions run side by side, so the numbers that they would take themselves become visible in another order:
 * a reader that goes on behind the last number would skip the events of a transaction that commits late. So they insert events
 * without numbers, and whoever reads first moves what is committed to the numbered ones, one process at a time.
 *
 * What is not committed yet gets a later number, so nothing is skipped, and no reader waits for a transaction. Of two changes of
 * which one waited for the other, such as two moves of a tag, the first has the smaller id, and was committed when the second
 * was: they are numbered in their order. A number is durable before a reader sees it, so it is never given to another event.
 */
import { integer, query } from "../columns.ts";
import { lockNamed } from "../locks.ts";
import { any, bound, locked, rowsOf } from "../sql.ts";
import type { SqlEngine, Transaction } from "../sql.ts";

const HAS_NEW = `select 1 as found from new_event limit 1`;

/** Events that are numbered at once. */
const STEP = 1000;

const NUMBER = query(
  { numbered: integer },
  `
  with arrived as (
    delete from new_event where id in (select id from new_event order by id limit $1) returning id, at, bytes, payload),
  numbered as (
    insert into event (seq, at, bytes, payload)
    select (select coalesce(max(seq), 0) from event) + row_number() over (order by id), at, bytes, payload from arrived
    returning seq)
  select count(*) as numbered from numbered`,
);

/** Without gaps, behind the last one: the newest event always stays. */
function* number(): Transaction<number> {
  const [found] = yield* rowsOf(locked([lockNamed("event numbers")], bound(NUMBER, STEP)));
  return found?.numbered ?? 0;
}

/** Gives numbers to all events that are committed. */
export async function numberEvents(engine: SqlEngine): Promise<void> {
  if (!(await engine.read(() => any(HAS_NEW)))) return;
  while ((await engine.write(number)) >= STEP);
}
