/** Statements about tags and what they have pointed at. */
import type { Digest } from "../oci/digest.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import type { Tag } from "../oci/tag.ts";
import type { TagCondition } from "../oci/tag-condition.ts";
import type { ChangeResult, Page, TagEvent, TagFacts, TagRules } from "./metadata-store.ts";
import { findRepository, hasManifest } from "./repositories.ts";
import { moveRepository } from "./revisions.ts";
import { first, rows } from "./sql.ts";
import type { Transaction } from "./sql.ts";
import { reviewManifest } from "./trash.ts";

const TARGET = `select digest from tag where repo = $1 and name = $2`;

const PUT = `
  insert into tag (repo, name, digest, updated_at) values ($1, $2, $3, $4)
  on conflict (repo, name) do update set digest = excluded.digest, updated_at = excluded.updated_at`;

const REMOVE = `delete from tag where repo = $1 and name = $2`;

const LIST = `
  select t.name, t.digest, t.updated_at from repo r join tag t on t.repo = r.id
  where r.name = $1 and t.name > $2 order by t.name limit $3`;

const OF_MANIFEST = `select name from tag where repo = $1 and digest = $2`;

const BEGIN_PERIOD = `insert into tag_history (repo, name, digest, since) values ($1, $2, $3, $4)`;

// The one that is open is the newest; what is older is not looked at, however much it is.
const END_PERIOD = `
  update tag_history set until = $3
  where until is null and id = (select max(id) from tag_history where repo = $1 and name = $2)`;

const HISTORY = `
  select h.digest, h.since, h.until from repo r join tag_history h on h.repo = r.id
  where r.name = $1 and h.name = $2 order by h.id desc limit $3`;

/** Whether the tag is as the condition says. */
export function* conditionHolds(repo: number, tag: Tag, condition: TagCondition | undefined): Transaction<boolean> {
  if (!condition) return true;
  return holdsFor((yield* first<{ digest: string }>(TARGET, repo, tag))?.digest, condition);
}

/** Whether the tag is there and points at another manifest. */
export function* pointsElsewhere(repo: number, tag: Tag, digest: Digest): Transaction<boolean> {
  return ((yield* first<{ digest: string }>(TARGET, repo, tag))?.digest ?? digest) !== digest;
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

/** Points a tag at a manifest that is here. What it pointed at before is looked at when the time to undo is over. */
export function* pointTag(repo: number, tag: Tag, digest: Digest, now: number, undoUntil: number): Transaction<void> {
  const before = (yield* first<{ digest: string }>(TARGET, repo, tag))?.digest;
  yield* rows(PUT, repo, tag, digest, now);
  if (before === digest) return;
  if (before !== undefined) {
    yield* rows(END_PERIOD, repo, tag, now);
    yield* reviewManifest(repo, before, undoUntil);
  }
  yield* rows(BEGIN_PERIOD, repo, tag, digest, now);
}

export function* putTag(
  name: RepositoryName,
  tag: Tag,
  digest: Digest,
  { condition, immutable = false }: TagRules,
  now: number,
  undoUntil: number,
): Transaction<ChangeResult> {
  const repo = yield* findRepository(name);
  if (repo !== undefined && immutable && (yield* pointsElsewhere(repo, tag, digest))) return "immutable";
  if (repo === undefined || !(yield* hasManifest(repo, digest))) return "absent";
  if (!(yield* conditionHolds(repo, tag, condition))) return "condition";
  yield* pointTag(repo, tag, digest, now, undoUntil);
  yield* moveRepository(repo);
  return "done";
}

export function* deleteTag(
  name: RepositoryName,
  tag: Tag,
  { condition, immutable = false }: TagRules,
  now: number,
  undoUntil: number,
): Transaction<ChangeResult> {
  const repo = yield* findRepository(name);
  const target = repo === undefined ? undefined : yield* first<{ digest: string }>(TARGET, repo, tag);
  if (repo === undefined || target === undefined) return condition ? "condition" : "absent";
  if (immutable) return "immutable";
  if (!(yield* conditionHolds(repo, tag, condition))) return "condition";
  yield* removeTag(repo, tag, now);
  yield* moveRepository(repo);
  yield* reviewManifest(repo, target.digest, undoUntil);
  return "done";
}

/** Removes every tag that points at a manifest. */
export function* removeTagsOf(repo: number, digest: Digest, now: number): Transaction<void> {
  for (const tag of yield* tagsOf(repo, digest)) yield* removeTag(repo, tag, now);
}

/** Every tag that points at a manifest. */
export function* tagsOf(repo: number, digest: Digest): Transaction<readonly Tag[]> {
  return (yield* rows<{ name: Tag }>(OF_MANIFEST, repo, digest)).map(({ name }) => name);
}

export function* listTags(name: RepositoryName, page: Page): Transaction<readonly TagFacts[]> {
  const found = yield* rows<{ name: Tag; digest: Digest; updated_at: number }>(
    LIST,
    name,
    page.after ?? "",
    page.limit,
  );
  return found.map((row) => ({ name: row.name, digest: row.digest, updatedAt: row.updated_at }));
}

export function* tagHistory(name: RepositoryName, tag: Tag, limit: number): Transaction<readonly TagEvent[]> {
  const found = yield* rows<{ digest: Digest; since: number; until: number | null }>(HISTORY, name, tag, limit);
  return found.map((row) => ({ digest: row.digest, since: row.since, until: row.until ?? undefined }));
}

function* removeTag(repo: number, tag: Tag, now: number): Transaction<void> {
  yield* rows(REMOVE, repo, tag);
  yield* rows(END_PERIOD, repo, tag, now);
}
