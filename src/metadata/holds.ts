/**
 * Reachability from immutable tags: the manifest that one points at, and all that leads down from it. It is walked up, from
 * what is to be deleted: each step finds its rows by a key, and each manifest is looked at once.
 */
import type { Tag } from "../oci/tag.ts";
import { integer, query } from "./columns.ts";
import { listedIds, rows } from "./sql.ts";
import type { Transaction } from "./sql.ts";
import { taggedAmong, tagsOf } from "./tags.ts";
import type { TagsPage } from "./tags.ts";

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

/** Manifests that are looked at before giving up: whoever writes meanwhile waits. */
export const MOST_LOOKED_AT = 10_000;

/** What keeps a blob in a repository; undefined when no immutable tag does. */
export function* holdOnBlob(
  repo: number,
  blob: number,
  isImmutable: (tag: Tag) => boolean,
): Transaction<Hold | undefined> {
  const needers = yield* rows(NEEDERS, repo, blob, MOST_LOOKED_AT + 1);
  const manifests = needers.map(({ manifest }) => manifest);
  return yield* holdAbove(repo, manifests, isImmutable);
}

/** What keeps a manifest in a repository; undefined when no immutable tag does. */
export function holdOnManifest(
  repo: number,
  manifest: number,
  isImmutable: (tag: Tag) => boolean,
): Transaction<Hold | undefined> {
  return holdAbove(repo, [manifest], isImmutable);
}

/** Tags that are in memory at once. */
const PAGE = 1000;

/** Manifests that one statement is about. */
const AT_ONCE = 1000;

function* immutableTagOf(manifest: number, isImmutable: (tag: Tag) => boolean): Transaction<Tag | undefined> {
  for (let after: string | undefined = ""; after !== undefined;) {
    const page: TagsPage = yield* tagsOf(manifest, { after, limit: PAGE });
    const immutable = page.tags.find(isImmutable);
    if (immutable !== undefined) return immutable;
    after = page.next;
  }
  return undefined;
}

function* holdAbove(
  repo: number,
  manifests: readonly number[],
  isImmutable: (tag: Tag) => boolean,
): Transaction<Hold | undefined> {
  const found = new Set(manifests);
  const walk = [...found];
  for (let lookedAt = 0; lookedAt < walk.length;) {
    if (lookedAt === MOST_LOOKED_AT) return "unclear";
    const some = walk.slice(lookedAt, Math.min(lookedAt + AT_ONCE, MOST_LOOKED_AT));
    lookedAt += some.length;
    for (const tagged of yield* taggedAmong(some)) {
      const immutable = yield* immutableTagOf(tagged, isImmutable);
      if (immutable !== undefined) return { immutable };
    }
    if (walk.length > MOST_LOOKED_AT) continue; // it is too many already
    for (const { parent } of yield* rows(PARENTS, repo, listedIds(some), MOST_LOOKED_AT + 1)) {
      if (!found.has(parent)) walk.push(parent);
      found.add(parent);
    }
  }
  return undefined;
}
