/** Tags and what they have pointed at. */
import type { Digest } from "../oci/digest.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import type { Tag } from "../oci/tag.ts";
import type { TagCondition } from "../oci/tag-condition.ts";
import { record } from "./changes.ts";
import type { Cause } from "./changes.ts";
import { bytes, digest, integer, optional, query, tagName, text, truth } from "./columns.ts";
import type { Database } from "./database.ts";
import { enqueueManifests } from "./gc-queue.ts";
import type { ManifestKey } from "./gc-queue.ts";
import { STEP_ROWS, beginJob } from "./jobs.ts";
import type { Job, JobStep } from "./jobs.ts";
import type { Page } from "./page.ts";
import { writeWithin } from "./quotas.ts";
import type { QuotaProblem } from "./quotas.ts";
import { TAG_IS_LIVE } from "./removed-tags.ts";
import { digestBytes } from "./digest-bytes.ts";
import { findManifest, findRepository } from "./repositories.ts";
import { moveRepository } from "./revisions.ts";
import { lockTags } from "./locks.ts";
import { batch, bound, first, listed, locked, rows, rowsOf, rowsOfBoth, statement } from "./sql.ts";
import type { BoundQuery, Statement, Transaction } from "./sql.ts";

export interface TagRecord {
  readonly name: Tag;
  readonly digest: Digest;
  readonly updatedAt: number;
}

/** A row of a page: a tag that is there for clients, or one that is gone for them. */
export type Listed<Fields> = (Fields & { readonly isLive: true }) | { readonly isLive: false; readonly name: Tag };

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

/** What a tag points at. */
export interface TagTarget {
  /** The id of the manifest. */
  readonly manifest: number;
  readonly digest: Digest;
}

/** What tags point at. */
export interface TagTargets {
  /** A tag that is not there has no entry. */
  readonly live: ReadonlyMap<Tag, TagTarget>;
  /** Tags that are gone for clients, and whose rows are there. */
  readonly gone: readonly Tag[];
}

const TARGET = query(
  { manifest: integer, digest },
  `
  select t.manifest, m.digest from tag t join manifest m on m.id = t.manifest where t.repo = $1 and t.name = $2`,
);

const TARGETS = query(
  { name: tagName, manifest: integer, digest: optional(digest) },
  `
  select t.name, t.manifest, m.digest from repo r join tag t on t.repo = r.id left join manifest m on m.id = t.manifest
  where r.name = $1 and t.name in (select value from json_each($2))`,
);

const MANIFEST = query(
  { mediaType: text, size: integer, payload: bytes },
  `
  select m.media_type, m.size, m.payload from repo r join manifest m on m.repo = r.id
  where r.name = $1 and m.digest = $2`,
);

const PUT = `
  insert into tag (repo, name, manifest, since, updated_at) select $1, value, $3, $4, $4 from json_each($2) where true
  on conflict (repo, name) do update
  set manifest = excluded.manifest, updated_at = excluded.updated_at,
    since = case when tag.manifest = excluded.manifest then tag.since else excluded.since end`;

// By names, because SQLite deletes from a table by its key, and would look at all tags of the repository.
const REMOVE = `delete from tag where repo = $1 and name in (select value from json_each($2))`;

// Tags that are gone are counted too: a page reads so many rows, however many of them are.
const LIST = query(
  { name: tagName, digest: optional(digest), updatedAt: integer },
  `
  select t.name, m.digest, t.updated_at from repo r join tag t on t.repo = r.id left join manifest m on m.id = t.manifest
  where r.name = $1 and t.name > $2 order by t.name limit $3`,
);

const NAMES = query(
  { name: tagName, isLive: truth },
  `
  select t.name, ${TAG_IS_LIVE} as is_live from repo r join tag t on t.repo = r.id
  where r.name = $1 and t.name > $2 order by t.name limit $3`,
);

const OF_MANIFEST = query(
  { name: tagName },
  `select name from tag where manifest = $1 and name > $2 order by name limit $3`,
);

/** How many tags point at a manifest; no row when none does. */
const COUNT = query({ tags: integer }, `select tags from tag_count where manifest = $1`);

const UNCOUNT = `delete from tag_count where manifest = $1`;
const UNCOUNT_IN_REPOSITORY = `update repo set tags = tags - $2 where id = $1`;

/** The period of each of the tags, which ends now. */
const END_PERIODS = `
  insert into tag_history (repo, name, digest, since, until)
  select t.repo, t.name, m.digest, t.since, $3 from tag t join manifest m on m.id = t.manifest
  where t.repo = $1 and t.name in (select value from json_each($2))`;

/** As `END_PERIODS`, of tags that are gone for clients: it ended when their manifest was deleted. */
const END_GONE_PERIODS = `
  insert into tag_history (repo, name, digest, since, until)
  select t.repo, t.name, j.digest, t.since, j.begun_at from tag t
  join job j on j.manifest = t.manifest and j.kind = 'remove tags'
  where t.repo = $1 and t.name in (select value from json_each($2))`;

const PERIOD = { digest, since: integer, until: optional(integer) };

const LAST_PERIOD = query(
  PERIOD,
  `
  select coalesce(m.digest, j.digest) as digest, t.since, j.begun_at as until from repo r join tag t on t.repo = r.id
  left join manifest m on m.id = t.manifest
  left join job j on j.manifest = t.manifest and j.kind = 'remove tags'
  where r.name = $1 and t.name = $2`,
);

const HISTORY = query(
  PERIOD,
  `
  select h.digest, h.since, h.until from repo r join tag_history h on h.repo = r.id
  where r.name = $1 and h.name = $2 order by h.id desc limit $3`,
);

/** The query for what each of the tags of a repository points at, and for `targetsOf`. */
export function targetsQuery(
  name: RepositoryName,
  tags: readonly Tag[],
): BoundQuery<ReturnType<typeof TARGETS.decode>> {
  return locked([lockTags(name, tags)], bound(TARGETS, name, listed(tags)));
}

/** What the tags point at, from the rows of `targetsQuery`. */
export function targetsOf(found: readonly ReturnType<typeof TARGETS.decode>[]): TagTargets {
  const live = new Map<Tag, TagTarget>();
  const gone: Tag[] = [];
  for (const { name, manifest, digest: target } of found) {
    if (target === undefined) gone.push(name);
    else live.set(name, { manifest, digest: target });
  }
  return { live, gone };
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
 * The statements that point tags at a manifest that is here; `targets` says what they point at now. What they pointed at is
 * enqueued for the time when undoing is over.
 */
export function pointTags(
  { repo, id }: Omit<ManifestKey, "digest">,
  tags: readonly Tag[],
  targets: TagTargets,
  now: number,
  undoUntil: number,
): readonly Statement[] {
  if (tags.length === 0) return [];
  const left = [...targets.live].filter(([, { manifest }]) => manifest !== id);
  const moved = left.map(([tag]) => tag);
  return [
    ...(targets.gone.length === 0 ? [] : removeGone(repo, targets.gone)),
    ...(moved.length === 0
      ? []
      : [
          statement(END_PERIODS, repo, listed(moved), now),
          enqueueManifests(
            left.map(([, { manifest }]) => manifest),
            undoUntil,
          ),
        ]),
    statement(PUT, repo, listed(tags), id, now),
  ];
}

/** Removes tags whose rows are there and which are gone for clients since their manifest was deleted. */
function removeGone(repo: number, tags: readonly Tag[]): readonly Statement[] {
  return [statement(END_GONE_PERIODS, repo, listed(tags)), statement(REMOVE, repo, listed(tags))];
}

function removeTags(repo: number, tags: readonly Tag[], now: number): readonly Statement[] {
  return [statement(END_PERIODS, repo, listed(tags), now), statement(REMOVE, repo, listed(tags))];
}

/**
 * Removes every tag that points at a manifest, for clients at once; where they are many, a job removes the rows. Returns those
 * whose rows it removed.
 */
export function* removeTagsOf({ repo, id, digest: named }: ManifestKey, now: number): Transaction<readonly Tag[]> {
  const count = (yield* first(COUNT, id))?.tags ?? 0;
  if (count === 0) return [];
  if (count <= STEP_ROWS) {
    const { tags } = yield* tagsOf(id, { limit: STEP_ROWS });
    yield* batch(...removeTags(repo, tags, now));
    return tags;
  }
  yield* beginJob("remove tags", { repo, manifest: id, digest: named }, now);
  yield* batch(statement(UNCOUNT, id), statement(UNCOUNT_IN_REPOSITORY, repo, count));
  return [];
}

/** Removes the rows of some tags of a manifest that was deleted when the job began. */
export function* stepOfTagRemoval({ repo, manifest = 0 }: Job): Transaction<JobStep> {
  const { tags } = yield* tagsOf(manifest, { limit: STEP_ROWS });
  if (tags.length > 0) yield* batch(...removeGone(repo, tags));
  return { rows: tags.length, isLast: tags.length < STEP_ROWS };
}

/** Some tags, in byte order. */
export interface TagsPage {
  readonly tags: readonly Tag[];
  /** Where to go on; undefined when there are no more. */
  readonly next: Tag | undefined;
}

/** Some of the tags that point at a manifest, in byte order. */
export function* tagsOf(manifest: number, { after = "", limit }: Page): Transaction<TagsPage> {
  const tags = (yield* rows(OF_MANIFEST, manifest, after, limit)).map(({ name }) => name);
  return { tags, next: tags.length < limit ? undefined : tags.at(-1) };
}

export class Tags {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Points the tag at a manifest of the repository; "absent" when that is not here. */
  async put(
    name: RepositoryName,
    tag: Tag,
    manifest: Digest,
    { condition, immutable = false }: TagRules = {},
    cause?: Cause,
  ): Promise<ChangeResult | QuotaProblem> {
    const { engine, clock, periods, recorder } = this.#database;
    // Its bytes are for the record, never change, and are not read while other writers wait.
    const pushed = recorder && (await engine.read(() => first(MANIFEST, name, digestBytes(manifest))));
    return await writeWithin(this.#database, name, { tags: [tag] }, function* (): Transaction<ChangeResult> {
      const repo = yield* findRepository(name);
      if (repo === undefined) return "absent";
      const targets = targetsOf(yield* rowsOf(targetsQuery(name, [tag])));
      const target = targets.live.get(tag)?.digest;
      if (immutable && target !== undefined && target !== manifest) return "immutable";
      const id = yield* findManifest(repo, manifest);
      if (id === undefined || (recorder && !pushed)) return "absent";
      if (!conditionHolds(target, condition)) return "condition";
      const now = clock.now();
      yield* batch(...pointTags({ repo, id }, [tag], targets, now, now + periods.undoMs));
      yield* moveRepository(repo);
      const change = { action: "push", object: "manifest", repository: name, digest: manifest, tags: [tag] } as const;
      yield* record(recorder, cause, now, { ...change, ...pushed });
      return "done";
    });
  }

  delete(
    name: RepositoryName,
    tag: Tag,
    { condition, immutable = false }: TagRules = {},
    cause?: Cause,
  ): Promise<ChangeResult> {
    const { engine, clock, periods, recorder } = this.#database;
    return engine.write(function* (): Transaction<ChangeResult> {
      const repo = yield* findRepository(name);
      const [target] =
        repo === undefined ? [] : yield* rowsOf(locked([lockTags(name, [tag])], bound(TARGET, repo, tag)));
      if (repo === undefined || target === undefined) return condition ? "condition" : "absent";
      if (immutable) return "immutable";
      if (!conditionHolds(target.digest, condition)) return "condition";
      const now = clock.now();
      yield* batch(...removeTags(repo, [tag], now), enqueueManifests([target.manifest], now + periods.undoMs));
      yield* moveRepository(repo);
      yield* record(recorder, cause, now, { action: "delete", object: "tag", repository: name, tags: [tag] });
      return "done";
    });
  }

  /** A page of tags, in byte order; with those whose rows are there and which are gone for clients (`isLive`). */
  async list(name: RepositoryName, { after = "", limit }: Page): Promise<readonly Listed<TagRecord>[]> {
    const found = await this.#database.engine.read(() => rows(LIST, name, after, limit));
    return found.map(({ name: tag, digest: target, updatedAt }) =>
      target === undefined ? { isLive: false, name: tag } : { isLive: true, name: tag, digest: target, updatedAt },
    );
  }

  /** As `list`, their names alone. */
  names(name: RepositoryName, { after = "", limit }: Page): Promise<readonly Listed<{ readonly name: Tag }>[]> {
    return this.#database.engine.read(() => rows(NAMES, name, after, limit));
  }

  /** What the tag has pointed at, newest first. */
  history(name: RepositoryName, tag: Tag, limit: number): Promise<readonly TagEvent[]> {
    return this.#database.engine.read(function* () {
      const [last, before] = yield* rowsOfBoth(bound(LAST_PERIOD, name, tag), bound(HISTORY, name, tag, limit));
      return [...last, ...before].slice(0, limit);
    });
  }
}
