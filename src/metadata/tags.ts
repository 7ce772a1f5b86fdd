/** Tags and what they have pointed at. */
import type { Digest } from "../oci/digest.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import type { Tag } from "../oci/tag.ts";
import type { TagCondition } from "../oci/tag-condition.ts";
import { digest, integer, optional, query, tagName, truth } from "./columns.ts";
import type { Database } from "./database.ts";
import { enqueueManifest, enqueueManifests } from "./gc-queue.ts";
import { STEP_ROWS, beginJob } from "./jobs.ts";
import type { Job, JobStep } from "./jobs.ts";
import type { Page } from "./page.ts";
import { writeWithin } from "./quotas.ts";
import type { QuotaProblem } from "./quotas.ts";
import { REMOVING, REMOVING_OF_PERIOD, TAG_IS_LIVE } from "./removed-tags.ts";
import { findRepository, hasManifest } from "./repositories.ts";
import { moveRepository } from "./revisions.ts";
import { any, first, listed, rows, run } from "./sql.ts";
import type { Transaction } from "./sql.ts";

export interface TagRecord {
  readonly name: Tag;
  readonly digest: Digest;
  readonly updatedAt: number;
}

/** A row of a page, and whether it is there for clients. */
export type Listed<Fields> = Fields & { readonly isLive: boolean };

export interface TagEvent {
  readonly digest: Digest;
  readonly since: number;
  /** Undefined while the tag still points there. */
  readonly until: number | undefined;
}

/** What came of a change to a tag; "immutable" when the tag must stay where it is. */
export type ChangeResult = "done" | "absent" | "condition" | "immutable";

/** What must hold of the tag, in the transaction that changes it. */
export interface TagRules {
  readonly condition?: TagCondition | undefined;
  /** Whether the tag must stay where it is, once it exists. */
  readonly immutable?: boolean;
}

const TARGET = query({ digest }, `select t.digest from tag t where t.repo = $1 and t.name = $2 and ${TAG_IS_LIVE}`);

const TARGETS = query(
  { name: tagName, digest },
  `
  select t.name, t.digest from tag t
  where t.repo = $1 and t.name in (select value from json_each($2)) and ${TAG_IS_LIVE}`,
);

/** Tags whose rows are there, and which are gone for clients since their manifest was deleted. */
const GONE = query(
  { name: tagName, removedAt: integer },
  `
  select t.name, (select j.begun_at ${REMOVING} order by j.id limit 1) as removed_at from tag t
  where t.repo = $1 and t.name in (select value from json_each($2)) and not ${TAG_IS_LIVE}`,
);

const PUT = `
  insert into tag (repo, name, digest, updated_at, last_job) select $1, value, $3, $4, $5 from json_each($2) where true
  on conflict (repo, name) do update
  set digest = excluded.digest, updated_at = excluded.updated_at, last_job = excluded.last_job`;

const REMOVE = `delete from tag where repo = $1 and name = $2`;

// By names, because SQLite deletes from a table by its key, and would look at all tags of the repository.
const REMOVE_NAMED = `delete from tag where repo = $1 and name in (select value from json_each($2))`;

// Tags that are gone are counted too: a page reads so many rows, however many of them are.
const LIST = query(
  { name: tagName, isLive: truth, digest, updatedAt: integer },
  `
  select t.name, ${TAG_IS_LIVE} as is_live, t.digest, t.updated_at from repo r join tag t on t.repo = r.id
  where r.name = $1 and t.name > $2 order by t.name limit $3`,
);

const NAMES = query(
  { name: tagName, isLive: truth },
  `
  select t.name, ${TAG_IS_LIVE} as is_live from repo r join tag t on t.repo = r.id
  where r.name = $1 and t.name > $2 order by t.name limit $3`,
);

// So that it is found by the index of digests: by the key SQLite would look at all tags of the repository.
const OF_MANIFEST = query(
  { name: tagName, lastJob: integer, isLive: truth },
  `
  select t.name, t.last_job, ${TAG_IS_LIVE} as is_live from tag t
  where t.repo = $1 and (t.digest, t.name) > ($2, $3) and t.digest <= $2 order by t.digest, t.name limit $4`,
);

/** How many tags point at a manifest, and whether rows of others are still to be removed; no row when none does. */
const COUNT = query(
  { tags: integer, isRemoving: truth },
  `
  select c.tags, exists (
    select 1 from job j where j.repo = c.repo and j.subject = c.digest and j.kind = 'remove tags') as is_removing
  from tag_count c where c.repo = $1 and c.digest = $2`,
);

const TAGGED_AMONG = query(
  { digest },
  `select digest from tag_count where repo = $1 and digest in (select value from json_each($2))`,
);

const UNCOUNT = `delete from tag_count where repo = $1 and digest = $2`;
const UNCOUNT_IN_REPOSITORY = `update repo set tags = tags - $2 where id = $1`;

const HAS_JOBS = `select 1 as found from job limit 1`;

const JOB_BEFORE = query(
  { id: integer },
  `
  select id from job where repo = $1 and subject = $2 and kind = 'remove tags' and id < $3
  order by id desc limit 1`,
);

const BEGIN_PERIODS = `
  insert into tag_history (repo, name, digest, since) select $1, value, $3, $4 from json_each($2) where true`;

// The one that is open is the newest; what is older is not looked at, however much it is.
const END_PERIOD = `
  update tag_history set until = $3
  where until is null and id = (select max(id) from tag_history where repo = $1 and name = $2)`;

const END_PERIODS = `
  update tag_history set until = $3
  where until is null and id in (
    select (select max(h.id) from tag_history h where h.repo = $1 and h.name = json_each.value) from json_each($2))`;

const HISTORY = query(
  { digest, since: integer, until: optional(integer) },
  `
  select h.digest, h.since, coalesce(h.until, (
    select j.begun_at ${REMOVING_OF_PERIOD} order by j.id limit 1)) as until
  from repo r join tag_history h on h.repo = r.id
  where r.name = $1 and h.name = $2 order by h.id desc limit $3`,
);

/** What each of the tags points at; a tag that is not there has no entry. */
export function* targetsOf(repo: number, tags: readonly Tag[]): Transaction<ReadonlyMap<Tag, Digest>> {
  if (tags.length === 0) return new Map();
  return new Map((yield* rows(TARGETS, repo, listed(tags))).map(({ name, digest: target }) => [name, target]));
}

/** Whether a tag that points at `target`, undefined for one that is not there, is as the condition says. */
export function conditionHolds(target: Digest | undefined, condition: TagCondition | undefined): boolean {
  return condition === undefined || holdsFor(target, condition);
}

function holdsFor(target: string | undefined, condition: TagCondition): boolean {
  switch (condition.kind) {
    case "all":
      return condition.of.every((each) => holdsFor(target, each));
    case "absent":
      return target === undefined;
    case "exists":
      return target !== undefined;
    case "is":
      return target !== undefined && condition.digests.includes(target);
    case "is not":
      return target === undefined || !condition.digests.includes(target);
  }
}

/**
 * Points tags at a manifest that is here; `targets` says what they point at now. What they pointed at is enqueued for the time
 * when undoing is over.
 */
export function* pointTags(
  repo: number,
  tags: readonly Tag[],
  targets: ReadonlyMap<Tag, Digest>,
  manifest: Digest,
  now: number,
  undoUntil: number,
): Transaction<void> {
  if (tags.length === 0) return;
  const lastJob = yield* endRemovals(repo, tags, manifest);
  yield* run(PUT, repo, listed(tags), manifest, now, lastJob);
  const changed = tags.filter((tag) => targets.get(tag) !== manifest);
  if (changed.length === 0) return;
  const moved = changed.filter((tag) => targets.has(tag));
  if (moved.length > 0) {
    yield* run(END_PERIODS, repo, listed(moved), now);
    yield* enqueueManifests(
      repo,
      [...targets.values()].filter((target) => target !== manifest),
      undoUntil,
    );
  }
  yield* run(BEGIN_PERIODS, repo, listed(changed), manifest, now);
}

/**
 * Removes the rows of those of the tags that are gone for clients, before they are put again. Returns the newest job that removes
 * tags of the manifest; 0 when there is none.
 */
function* endRemovals(repo: number, tags: readonly Tag[], manifest: Digest): Transaction<number> {
  if (!(yield* any(HAS_JOBS))) return 0;
  for (const { name, removedAt } of yield* rows(GONE, repo, listed(tags))) {
    yield* run(END_PERIOD, repo, name, removedAt);
    yield* run(REMOVE, repo, name);
  }
  return (yield* first(JOB_BEFORE, repo, manifest, Number.MAX_SAFE_INTEGER))?.id ?? 0;
}

/** Removes every tag that points at a manifest, for clients at once; where they are many, a job removes the rows. */
export function* removeTagsOf(repo: number, manifest: Digest, now: number): Transaction<void> {
  const count = yield* first(COUNT, repo, manifest);
  if (!count) return;
  // The rows of an earlier job may lie between those of now.
  if (count.tags <= STEP_ROWS && !count.isRemoving) {
    yield* removeTags(repo, yield* rows(OF_MANIFEST, repo, manifest, "", STEP_ROWS), now);
    return;
  }
  yield* beginJob("remove tags", { repo, subject: manifest }, now);
  yield* run(UNCOUNT, repo, manifest);
  yield* run(UNCOUNT_IN_REPOSITORY, repo, count.tags);
}

function* removeTags(repo: number, tags: readonly { readonly name: Tag }[], now: number): Transaction<void> {
  if (tags.length === 0) return;
  const names = listed(tags.map(({ name }) => name));
  yield* run(END_PERIODS, repo, names, now);
  yield* run(REMOVE_NAMED, repo, names);
}

/** Removes the rows of some tags that were gone when the job began, and not since an earlier one. */
export function* stepOfTagRemoval({ id, repo, subject, position, begunAt }: Job): Transaction<JobStep> {
  const found = yield* rows(OF_MANIFEST, repo, subject, position, STEP_ROWS);
  const earlier = (yield* first(JOB_BEFORE, repo, subject, id))?.id ?? 0;
  const gone = found.filter(({ lastJob }) => lastJob < id && lastJob >= earlier);
  yield* removeTags(repo, gone, begunAt);
  const last = found.at(-1);
  return { rows: gone.length, isLast: !last || found.length < STEP_ROWS, ...(last ? { position: last.name } : {}) };
}

/** Some tags, in byte order. */
export interface TagsPage {
  readonly tags: readonly Tag[];
  /** Where to go on; undefined when there are no more. */
  readonly next: Tag | undefined;
}

/** Those of the manifests that a tag points at. */
export function* taggedAmong(repo: number, manifests: readonly Digest[]): Transaction<readonly Digest[]> {
  return (yield* rows(TAGGED_AMONG, repo, listed(manifests))).map((each) => each.digest);
}

/** Some of the tags that point at a manifest. */
export function* tagsOf(repo: number, manifest: Digest, { after = "", limit }: Page): Transaction<TagsPage> {
  const found = yield* rows(OF_MANIFEST, repo, manifest, after, limit);
  const tags = found.filter(({ isLive }) => isLive).map(({ name }) => name);
  return { tags, next: found.length < limit ? undefined : found.at(-1)?.name };
}

/** The first tags that point at a manifest, in byte order. */
export function* someTagsOf(repo: number, manifest: Digest, limit: number): Transaction<readonly Tag[]> {
  return (yield* tagsOf(repo, manifest, { limit })).tags;
}

export class Tags {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Points the tag at a manifest of the repository; "absent" when that is not here. */
  put(
    name: RepositoryName,
    tag: Tag,
    manifest: Digest,
    { condition, immutable = false }: TagRules = {},
  ): Promise<ChangeResult | QuotaProblem> {
    const { clock, periods } = this.#database;
    return writeWithin(this.#database, name, { tags: [tag] }, function* (): Transaction<ChangeResult> {
      const repo = yield* findRepository(name);
      if (repo === undefined) return "absent";
      const targets = yield* targetsOf(repo, [tag]);
      const target = targets.get(tag);
      if (immutable && target !== undefined && target !== manifest) return "immutable";
      if (!(yield* hasManifest(repo, manifest))) return "absent";
      if (!conditionHolds(target, condition)) return "condition";
      const now = clock.now();
      yield* pointTags(repo, [tag], targets, manifest, now, now + periods.undoMs);
      yield* moveRepository(repo);
      return "done";
    });
  }

  delete(name: RepositoryName, tag: Tag, { condition, immutable = false }: TagRules = {}): Promise<ChangeResult> {
    const { engine, clock, periods } = this.#database;
    return engine.write(function* (): Transaction<ChangeResult> {
      const repo = yield* findRepository(name);
      const target = repo === undefined ? undefined : yield* first(TARGET, repo, tag);
      if (repo === undefined || target === undefined) return condition ? "condition" : "absent";
      if (immutable) return "immutable";
      if (!conditionHolds(target.digest, condition)) return "condition";
      const now = clock.now();
      yield* run(REMOVE, repo, tag);
      yield* run(END_PERIOD, repo, tag, now);
      yield* moveRepository(repo);
      yield* enqueueManifest(repo, target.digest, now + periods.undoMs);
      return "done";
    });
  }

  /** A page of tags, in byte order; with those whose rows are there and which are gone for clients (`isLive`). */
  list(name: RepositoryName, { after = "", limit }: Page): Promise<readonly Listed<TagRecord>[]> {
    return this.#database.engine.read(() => rows(LIST, name, after, limit));
  }

  /** As `list`, their names alone. */
  names(name: RepositoryName, { after = "", limit }: Page): Promise<readonly Listed<{ readonly name: Tag }>[]> {
    return this.#database.engine.read(() => rows(NAMES, name, after, limit));
  }

  /** What the tag has pointed at, newest first. */
  history(name: RepositoryName, tag: Tag, limit: number): Promise<readonly TagEvent[]> {
    return this.#database.engine.read(() => rows(HISTORY, name, tag, limit));
  }
}
