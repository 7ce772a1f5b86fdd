/**
 * Reachability from immutable tags: the manifest that a tag points at, and all below it. It is walked up, from
 * what is to be deleted: each step finds its rows by a key, and each manifest is looked at once.
 */
import type { Tag } from "../oci/tag.ts";
import { integer, query, tagName } from "./columns.ts";
import { first, listedIds, rows } from "./sql.ts";
import type { Transaction } from "./sql.ts";
import { likePatterns } from "./tag-patterns.ts";

/** What keeps something from being deleted. */
export type Hold =
  /** An immutable tag: it points at what needs this, or at an index that leads there. */
  | { readonly immutable: Tag }
  /** Too many manifests need it to find out whether there is such a tag. */
  | "unclear";

const NEEDERS = query(
  { manifest: integer },
  `select manifest from manifest_blob where blob = $2 and repo = $1 limit $3`,
);

/** Each once: where the limit leaves some out, those that were found are too many already. */
const PARENTS = query(
  { parent: integer },
  `
  select distinct parent from manifest_child where repo = $1 and child in (
    select digest from manifest where id in (select cast(value as bigint) from json_each($2)))
  limit $3`,
);

/** Manifests that are looked at before giving up: writers wait meanwhile. */
export const MOST_LOOKED_AT = 10_000;

/** A tag that is immutable, of those that point at one of the manifests. */
const IMMUTABLE_AMONG = query(
  { name: tagName },
  `
  select t.name from tag t where t.manifest in (select cast(value as bigint) from json_each($1))
  and exists (select 1 from json_each($2) where t.name like value escape '!')
  limit 1`,
);

const IMMUTABLE_IN = query(
  { name: tagName },
  `
  select t.name from tag t where t.repo = $1
  and exists (select 1 from json_each($2) where t.name like value escape '!')
  limit 1`,
);

/** A tag of a repository that matches one of `patterns`; undefined when none does. */
export function* immutableTagIn(repo: number, patterns: readonly string[]): Transaction<Tag | undefined> {
  if (patterns.length === 0) return undefined;
  return (yield* first(IMMUTABLE_IN, repo, likePatterns(patterns)))?.name;
}

/** What keeps a blob in a repository, where tags that match one of `patterns` are immutable; undefined when none does. */
export function* holdOnBlob(repo: number, blob: number, patterns: readonly string[]): Transaction<Hold | undefined> {
  if (patterns.length === 0) return undefined;
  const needers = yield* rows(NEEDERS, repo, blob, MOST_LOOKED_AT + 1);
  const manifests = needers.map(({ manifest }) => manifest);
  return yield* holdAbove(repo, manifests, patterns);
}

/** What keeps a manifest in a repository, where tags that match one of `patterns` are immutable; undefined when none does. */
export function* holdOnManifest(
  repo: number,
  manifest: number,
  patterns: readonly string[],
): Transaction<Hold | undefined> {
  return patterns.length === 0 ? undefined : yield* holdAbove(repo, [manifest], patterns);
}

/** Manifests that one statement is about. */
const AT_ONCE = 1000;

function* holdAbove(
  repo: number,
  manifests: readonly number[],
  patterns: readonly string[],
): Transaction<Hold | undefined> {
  const immutable = likePatterns(patterns);
  const found = new Set(manifests);
  const walk = [...found];
  for (let lookedAt = 0; lookedAt < walk.length;) {
    if (lookedAt === MOST_LOOKED_AT) return "unclear";
    const some = listedIds(walk.slice(lookedAt, Math.min(lookedAt + AT_ONCE, MOST_LOOKED_AT)));
    lookedAt = Math.min(lookedAt + AT_ONCE, MOST_LOOKED_AT, walk.length);
    const held = yield* first(IMMUTABLE_AMONG, some, immutable);
    if (held) return { immutable: held.name };
    if (walk.length > MOST_LOOKED_AT) continue; // it is too many already
    for (const { parent } of yield* rows(PARENTS, repo, some, MOST_LOOKED_AT + 1)) {
      if (!found.has(parent)) walk.push(parent);
      found.add(parent);
    }
  }
  return undefined;
}
