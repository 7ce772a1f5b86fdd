/** Pruning of tag histories in the background, some of it in each round of garbage collection. */
import { Pace } from "../../lib/pace.ts";
import type { HistoryPosition } from "../../metadata/tag-history.ts";
import type { Backend } from "../backend.ts";

/** Tags of one step. */
const STEP = { least: 5, most: 50 };

/** Steps of one round, so that garbage is not kept waiting. */
const STEPS_OF_ROUND = 200;

/** Milliseconds from the end of one pass over all tags to the beginning of the next. */
const PAUSE_MS = 24 * 3_600_000;

/** Where a pass over all tags is. A process that ends loses that, and the next one begins anew: what was pruned stays so. */
export class HistoryPruning {
  readonly #backend: Backend;
  #position: HistoryPosition | undefined;
  #nextPassAt = 0;

  constructor(backend: Backend) {
    this.#backend = backend;
  }

  /** Goes on with the pass, or begins one when it is time. Returns how many entries were deleted. */
  async round(now: number, signal: AbortSignal): Promise<number> {
    const { metadata, rules } = this.#backend;
    if (now < this.#nextPassAt) return 0;
    const pace = new Pace({ ...STEP, commits: () => metadata.lastCommit(), signal });
    let pruned = 0;
    for (let steps = 0; steps < STEPS_OF_ROUND; steps++) {
      const step = await pace.step((tags) => metadata.tagHistories.prune(this.#position, tags, rules, now));
      pruned += step.pruned;
      this.#position = step.next;
      if (!step.next) {
        this.#nextPassAt = now + PAUSE_MS;
        break;
      }
      if (!(await pace.rest())) break;
    }
    return pruned;
  }
}
