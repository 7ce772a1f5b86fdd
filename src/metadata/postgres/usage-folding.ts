/**
 * Usage of repositories and quotas. Transactions add what they change to `usage_delta`, so that none waits for another; this
 * moves it into the rows of repositories and quotas, one process at a time.
 */
import { integer, query, truth } from "../columns.ts";
import { any, first } from "../sql.ts";
import type { SqlEngine, Transaction } from "../sql.ts";

const HAS_DELTAS = `select 1 as found from usage_delta limit 1`;

/** The lock of `fold_usage`, as far as it is free. */
const TRY_LOCK = query({ isMine: truth }, `select pg_try_advisory_xact_lock(x'666f6c64'::bigint) as is_mine`);

/** Deltas that are moved at once. */
const STEP = 5000;

const FOLD = query({ moved: integer }, `select fold_usage($1) as moved`);

function* fold(): Transaction<number> {
  if (!(yield* first(TRY_LOCK))?.isMine) return 0;
  return (yield* first(FOLD, STEP))?.moved ?? 0;
}

/** Moves what there is, unless another process does. */
export async function foldUsage(engine: SqlEngine): Promise<void> {
  if (!(await engine.read(() => any(HAS_DELTAS)))) return;
  while ((await engine.write(fold, "soon")) >= STEP);
}
