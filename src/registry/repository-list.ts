/** The list of repositories, or of those among them that somebody may see. */
import type { Repositories } from "../metadata/repositories.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import { PAGE_SIZE, STATEMENT_COST, listTurns, paged } from "./pages.ts";
import type { PageStart } from "./pages.ts";

/** Which repositories belong into a list. */
export interface RepositoryFilter {
  allows(name: RepositoryName): boolean;
  /** A text, from `text` on, before which no repository is allowed; undefined when none behind `text` is. */
  seek(text: string): string | undefined;
}

/** Repositories that are read behind a place to which the list has skipped: there may be few that are allowed. */
const SMALL_PAGE = 8;

/** The smallest character of a name: what comes behind a text begins with both, or comes later. */
const SMALLEST = "-";

/** Repositories in byte order. Those that the filter cannot allow are skipped by the filter's `seek`, not read. */
export async function* listRepositories(
  repositories: Pick<Repositories, "list">,
  { after, limit: wanted = Infinity }: PageStart,
  filter: RepositoryFilter | undefined,
): AsyncGenerator<RepositoryName> {
  if (!filter) {
    const start = { ...(after === undefined ? {} : { after }), limit: wanted };
    return yield* paged(
      start,
      (page) => repositories.list(page),
      (name) => name,
    );
  }
  let left = wanted;
  let limit = Math.min(left, PAGE_SIZE);
  let from = filter.seek(after === undefined ? "" : after + SMALLEST);
  while (left > 0 && from !== undefined) {
    await listTurns.take(STATEMENT_COST + limit);
    const page = await repositories.list({ from, limit });
    for (const name of page) {
      if (!filter.allows(name)) continue;
      yield name;
      if (--left === 0) return;
    }
    const last = page.at(-1);
    if (last === undefined || page.length < limit) return;
    const next = last + SMALLEST;
    from = filter.seek(next);
    limit = from === next ? Math.min(2 * limit, PAGE_SIZE) : SMALL_PAGE;
  }
}
