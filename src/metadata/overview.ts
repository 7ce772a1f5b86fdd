/** Statements that count what there is, for administrators: they walk through what they count. */
import type { Overview, Page, RepositoryUsage, RunName } from "./metadata-store.ts";
import { first, rows } from "./sql.ts";
import type { Transaction } from "./sql.ts";

const COUNTS = `
  select
    (select count(*) from repo r where exists (select 1 from manifest m where m.repo = r.id)) as repositories,
    (select count(*) from tag) as tags,
    (select count(*) from manifest) as manifests,
    (select count(*) from blob) as blobs,
    (select coalesce(sum(size), 0) from blob) + (select coalesce(sum(size), 0) from manifest) as bytes,
    (select count(*) from upload) as uploads`;

const USAGE = `
  select r.name, count(*) as manifests, max(m.pushed_at) as last_push, r.tags, r.bytes
  from repo r join manifest m on m.repo = r.id
  where r.name > $1 group by r.id order by r.name limit $2`;

const LAST_RUNS = `select job, at from last_run`;

const RECORD_RUN = `
  insert into last_run (job, at) values ($1, $2) on conflict (job) do update set at = excluded.at`;

export function* overview(): Transaction<Overview> {
  const counts = yield* first<Omit<Overview, "lastRuns">>(COUNTS);
  if (!counts) throw new Error("nothing was counted");
  const runs = yield* rows<{ job: RunName; at: number }>(LAST_RUNS);
  return { ...counts, lastRuns: Object.fromEntries(runs.map(({ job, at }) => [job, at])) };
}

/** Repositories with at least one manifest, in byte order of their names. */
export function* repositoryUsage(page: Page): Transaction<readonly RepositoryUsage[]> {
  const found = yield* rows<Omit<RepositoryUsage, "lastPush"> & { last_push: number }>(
    USAGE,
    page.after ?? "",
    page.limit,
  );
  return found.map(({ name, tags, manifests, bytes, last_push: lastPush }) => ({
    name,
    tags,
    manifests,
    bytes,
    lastPush,
  }));
}

/** Records that a kind of work was done to its end. */
export function* recordRun(job: RunName, at: number): Transaction<void> {
  yield* rows(RECORD_RUN, job, at);
}
