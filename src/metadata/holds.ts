/**
 * Reachability from immutable tags: the manifest that one points at, and all that leads down from it. It is walked up, from
 * what is to be deleted: each step finds its rows by a key, and each manifest is looked at once.
 */
import type { Digest } from "../oci/digest.ts";
import type { Tag } from "../oci/tag.ts";
import { digest, query } from "./columns.ts";
import { rows } from "./sql.ts";
import type { Transaction } from "./sql.ts";
import { tagCount, tagsOf } from "./tags.ts";
import type { TagsPage } from "./tags.ts";

/** What keeps something from being deleted. */
export type Hold =
  /** An immutable tag: it points at what needs this, or at an index that leads there. */
  | { readonly immutable: Tag }
  /** Too many manifests need it to find out whether there is such a tag. */
  | "unclear";

const NEEDERS = query(
  { manifest: digest },
  `select manifest from manifest_blob where blob = $2 and repo = $1 limit $3`,
);

const PARENTS = query({ parent: digest }, `select parent from manifest_child where repo = $1 and child = $2 limit $3`);

/** Manifests that are looked at before giving up: whoever writes meanwhile waits. */
export const MOST_LOOKED_AT = 10_000;

/** What keeps a blob in a repository; undefined when no immutable tag does. */
export function* holdOnBlob(
  repo: number,
  blob: Digest,
  isImmutable: (tag: Tag) => boolean,
): Transaction<Hold | undefined> {
  const needers = yield* rows(NEEDERS, repo, blob, MOST_LOOKED_AT + 1);
  const manifests = needers.map(({ manifest }) => manifest);
  return yield* holdAbove(repo, manifests, isImmutable);
}

/** What keeps a manifest in a repository; undefined when no immutable tag does. */
export function holdOnManifest(
  repo: number,
  manifest: Digest,
  isImmutable: (tag: Tag) => boolean,
): Transaction<Hold | undefined> {
  return holdAbove(repo, [manifest], isImmutable);
}

/** Rows that are in memory at once. */
const PAGE = 1000;

function* immutableTagOf(
  repo: number,
  manifest: Digest,
  isImmutable: (tag: Tag) => boolean,
): Transaction<Tag | undefined> {
  if ((yield* tagCount(repo, manifest)) === 0) return undefined;
  for (let after: string | undefined = ""; after !== undefined;) {
    const page: TagsPage = yield* tagsOf(repo, manifest, { after, limit: PAGE });
    const immutable = page.tags.find(isImmutable);
    if (immutable !== undefined) return immutable;
    after = page.next;
  }
  return undefined;
}

function* holdAbove(
  repo: number,
  manifests: readonly Digest[],
  isImmutable: (tag: Tag) => boolean,
): Transaction<Hold | undefined> {
  const found = new Set(manifests);
  let lookedAt = 0;
  // What is added to a set while it is walked through comes later in the same walk, and once.
  for (const manifest of found) {
    if (++lookedAt > MOST_LOOKED_AT) return "unclear";
    const immutable = yield* immutableTagOf(repo, manifest, isImmutable);
    if (immutable !== undefined) return { immutable };
    if (found.size > MOST_LOOKED_AT) continue; // it is too many already
    for (const { parent } of yield* rows(PARENTS, repo, manifest, MOST_LOOKED_AT + 1)) found.add(parent);
  }
  return undefined;
}
