/** The list of repositories, or of those among them that a principal may see. */
import type { NameRange, Seek } from "../lib/glob-seek.ts";
import type { ListedRepository, Repositories } from "../metadata/repositories.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import { PAGE_SIZE, STATEMENT_COST, listTurns } from "./pages.ts";
import type { PageStart } from "./pages.ts";

/** Which repositories belong into a list. */
export interface RepositoryFilter {
  allows(name: RepositoryName): boolean;
  /** Where from a text on allowed repositories can stand. */
  seek: Seek;
}

const ALL: RepositoryFilter = { allows: () => true, seek: (from) => ({ from }) };

/** Repositories of a page at most where a filter is asked about each, which costs more than to read it. */
const FILTERED_PAGE = 250;

/** Repositories that are read behind a place to which the list has skipped: there may be few that are allowed. */
const SMALL_PAGE = 8;

/** The smallest character of a name: what comes behind a text begins with both, or comes later. */
const SMALLEST = "-";

/**
 * Repositories with a manifest in byte order. Only ranges are read in which the filter can allow some. Where it allows few and
 * no range says which, all are read, in pages.
 */
export async function* listRepositories(
  repositories: Pick<Repositories, "list">,
  { after, limit: wanted = Infinity }: PageStart,
  filter: RepositoryFilter = ALL,
): AsyncGenerator<RepositoryName> {
  const size = filter === ALL ? PAGE_SIZE : FILTERED_PAGE;
  let left = wanted;
  let limit = Math.min(left, size);
  let range: NameRange | undefined = filter.seek(after === undefined ? "" : after + SMALLEST);
  while (left > 0 && range !== undefined) {
    await listTurns.take(STATEMENT_COST + (limit * PAGE_SIZE) / size);
    const page = await repositories.list({ ...range, limit });
    for (const { name, hasManifests } of page) {
      if (!hasManifests || !filter.allows(name)) continue;
      yield name;
      if (--left === 0) return;
    }
    const last = page.at(-1);
    if (last === undefined || page.length < limit) {
      range = range.until === undefined ? undefined : filter.seek(range.until);
      limit = Math.min(left, size);
      continue;
    }
    limit = isWorthSkipping(page, filter.seek) ? SMALL_PAGE : Math.min(2 * limit, size);
    range = filter.seek(last.name + SMALLEST);
  }
}

/** Whether one skip after the other, each with its statement, would have cost less than reading the page. */
function isWorthSkipping(page: readonly ListedRepository[], seek: Seek): boolean {
  let skips = 0;
  for (let at = 0; at >= 0;) {
    const from = seek(`${page[at]?.name}${SMALLEST}`)?.from;
    if (from === undefined) return true;
    at = page.findIndex(({ name }) => name >= from);
    if (at >= 0 && ++skips > page.length / STATEMENT_COST) return false;
  }
  return true;
}
