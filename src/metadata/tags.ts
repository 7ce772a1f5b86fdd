/** Tags and what they have pointed at. */
import type { Digest } from "../oci/digest.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import type { Tag } from "../oci/tag.ts";
import type { TagCondition } from "../oci/tag-condition.ts";
import { digest, integer, optional, query, tagName } from "./columns.ts";
import type { Database } from "./database.ts";
import { enqueueManifest, enqueueManifests } from "./gc-queue.ts";
import type { Page } from "./page.ts";
import { writeWithin } from "./quotas.ts";
import type { QuotaProblem } from "./quotas.ts";
import { findRepository, hasManifest } from "./repositories.ts";
import { moveRepository } from "./revisions.ts";
import { first, listed, rows, run } from "./sql.ts";
import type { Transaction } from "./sql.ts";

export interface TagRecord {
  readonly name: Tag;
  readonly digest: Digest;
  readonly updatedAt: number;
}

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

const TARGET = query({ digest }, `select digest from tag where repo = $1 and name = $2`);

const TARGETS = query(
  { name: tagName, digest },
  `select name, digest from tag where repo = $1 and name in (select value from json_each($2))`,
);

const PUT = `
  insert into tag (repo, name, digest, updated_at) select $1, value, $3, $4 from json_each($2) where true
  on conflict (repo, name) do update set digest = excluded.digest, updated_at = excluded.updated_at`;

const REMOVE = `delete from tag where repo = $1 and name = $2`;

// By names, because SQLite deletes from a table by its key, and would look at all tags of the repository.
const REMOVE_ALL_OF = `
  delete from tag where repo = $1 and name in (select name from tag where repo = $1 and digest = $2)`;

const LIST = query(
  { name: tagName, digest, updatedAt: integer },
  `
  select t.name, t.digest, t.updated_at from repo r join tag t on t.repo = r.id
  where r.name = $1 and t.name > $2 order by t.name limit $3`,
);

const NAMES = query(
  { name: tagName },
  `
  select t.name from repo r join tag t on t.repo = r.id
  where r.name = $1 and t.name > $2 order by t.name limit $3`,
);

const OF_MANIFEST = query({ name: tagName }, `select name from tag where repo = $1 and digest = $2 order by name`);

const SOME_OF_MANIFEST = query(
  { name: tagName },
  `select name from tag where repo = $1 and digest = $2 order by name limit $3`,
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

const END_PERIODS_OF = `
  update tag_history set until = $3
  where until is null and id in (
    select (select max(h.id) from tag_history h where h.repo = t.repo and h.name = t.name)
    from tag t where t.repo = $1 and t.digest = $2)`;

const HISTORY = query(
  { digest, since: integer, until: optional(integer) },
  `
  select h.digest, h.since, h.until from repo r join tag_history h on h.repo = r.id
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
  yield* run(PUT, repo, listed(tags), manifest, now);
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

/** Removes every tag that points at a manifest. */
export function* removeTagsOf(repo: number, manifest: Digest, now: number): Transaction<void> {
  yield* run(END_PERIODS_OF, repo, manifest, now);
  yield* run(REMOVE_ALL_OF, repo, manifest);
}

/** Every tag that points at a manifest, in byte order. */
export function* tagsOf(repo: number, manifest: Digest): Transaction<readonly Tag[]> {
  return (yield* rows(OF_MANIFEST, repo, manifest)).map(({ name }) => name);
}

/** The first tags that point at a manifest, in byte order. */
export function* someTagsOf(repo: number, manifest: Digest, limit: number): Transaction<readonly Tag[]> {
  return (yield* rows(SOME_OF_MANIFEST, repo, manifest, limit)).map(({ name }) => name);
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

  list(name: RepositoryName, { after = "", limit }: Page): Promise<readonly TagRecord[]> {
    return this.#database.engine.read(() => rows(LIST, name, after, limit));
  }

  /** As `list`, their names alone. */
  async names(name: RepositoryName, { after = "", limit }: Page): Promise<readonly Tag[]> {
    const found = await this.#database.engine.read(() => rows(NAMES, name, after, limit));
    return found.map((row) => row.name);
  }

  /** What the tag has pointed at, newest first. */
  history(name: RepositoryName, tag: Tag, limit: number): Promise<readonly TagEvent[]> {
    return this.#database.engine.read(() => rows(HISTORY, name, tag, limit));
  }
}
