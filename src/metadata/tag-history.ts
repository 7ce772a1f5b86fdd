/**
 * Pruning of tag histories. What a tag points at now is in the row of the tag, so nothing here can lose it; and what ended less
 * than `gc.undo` ago stays, because garbage collection keeps manifests by it.
 */
import { integer, query, text } from "./columns.ts";
import type { Database, RetentionRules } from "./database.ts";
import { first, rows } from "./sql.ts";
import type { Transaction } from "./sql.ts";

/** The tag that was looked at last. */
export interface HistoryPosition {
  readonly repo: number;
  readonly name: string;
}

/** What one step did. */
export interface PruneStep {
  /** Entries that were deleted. */
  readonly pruned: number;
  /** Where the next step goes on; undefined when it is done. */
  readonly next: HistoryPosition | undefined;
}

/** Entries that one step deletes, about: one or two milliseconds, for which writers wait. */
const STEP_ROWS = 200;

/** Before all tags. */
const START: HistoryPosition = { repo: 0, name: "" };

const NEXT_TAG = query(
  { repo: integer, name: text },
  `select repo, name from tag_history where (repo, name) > ($1, $2) order by repo, name limit 1`,
);

/** Of the oldest entries of a tag, those that ended before $3, and those before $4 that are not among its $5 newest. */
const PRUNE = query(
  { id: integer },
  `
  delete from tag_history where id in (
    select id from (
      select id, until from tag_history where repo = $1 and name = $2 order by id limit ${STEP_ROWS}) oldest
    where until < $3 or (until < $4 and id <= (
      select id from tag_history where repo = $1 and name = $2 order by id desc limit 1 offset $5)))
  returning id`,
);

type Rules = Pick<RetentionRules, "undoMs" | "historyMs" | "historyEntries">;

/** Looks at so many tags, or fewer when it has much to delete. */
function* pruneSome(after: HistoryPosition, tags: number, rules: Rules, now: number): Transaction<PruneStep> {
  const undoableSince = now - rules.undoMs;
  const since = Math.min(undoableSince, now - rules.historyMs);
  let position = after;
  let pruned = 0;
  for (let at = 0; at < tags && pruned < STEP_ROWS; at++) {
    const tag = yield* first(NEXT_TAG, position.repo, position.name);
    if (!tag) return { pruned, next: undefined };
    const { repo, name } = tag;
    const deleted = yield* rows(PRUNE, repo, name, since, undoableSince, rules.historyEntries);
    pruned += deleted.length;
    if (deleted.length === STEP_ROWS) return { pruned, next: position }; // there may be more of this tag
    position = tag;
  }
  return { pruned, next: position };
}

export class TagHistories {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /**
   * Deletes entries that are too old or too many, of the tags behind `after`, in one short transaction. Pushes go on meanwhile;
   * two processes that do it at once do no harm.
   */
  prune(after: HistoryPosition | undefined, tags: number, rules: Rules, now: number): Promise<PruneStep> {
    return this.#database.engine.write(() => pruneSome(after ?? START, tags, rules, now), "soon");
  }
}
