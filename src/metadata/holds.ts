/**
 * Statements about what tags that stay hold: the manifest that one points at, and all that leads down from it. It is walked
 * up, from what is to be deleted: each step finds its rows by a key, and each manifest is looked at once.
 */
import type { Digest } from "../oci/digest.ts";
import type { Tag } from "../oci/tag.ts";
import type { Hold } from "./metadata-store.ts";
import { rows } from "./sql.ts";
import type { Transaction } from "./sql.ts";
import { tagsOf } from "./tags.ts";

const NEEDERS = `select manifest from manifest_blob where blob = $2 and repo = $1 limit $3`;

const PARENTS = `select parent from manifest_child where repo = $1 and child = $2 limit $3`;

/** Manifests that are looked at before giving up: whoever writes meanwhile waits. */
export const MOST_LOOKED_AT = 10_000;

/** What keeps a blob in a repository; undefined when no tag that stays does. */
export function* holdOnBlob(
  repo: number,
  digest: Digest,
  isFixed: (tag: Tag) => boolean,
): Transaction<Hold | undefined> {
  const needers = yield* rows<{ manifest: Digest }>(NEEDERS, repo, digest, MOST_LOOKED_AT + 1);
  return yield* holdAbove(
    repo,
    needers.map(({ manifest }) => manifest),
    isFixed,
  );
}

/** What keeps a manifest in a repository; undefined when no tag that stays does. */
export function* holdOnManifest(
  repo: number,
  digest: Digest,
  isFixed: (tag: Tag) => boolean,
): Transaction<Hold | undefined> {
  return yield* holdAbove(repo, [digest], isFixed);
}

function* holdAbove(
  repo: number,
  manifests: readonly Digest[],
  isFixed: (tag: Tag) => boolean,
): Transaction<Hold | undefined> {
  const found = new Set(manifests);
  let lookedAt = 0;
  // What is added to a set while it is walked through comes later in the same walk, and once.
  for (const manifest of found) {
    if (++lookedAt > MOST_LOOKED_AT) return "unclear";
    const fixed = (yield* tagsOf(repo, manifest)).find(isFixed);
    if (fixed !== undefined) return { fixed };
    if (found.size > MOST_LOOKED_AT) continue; // it is too many already
    const parents = yield* rows<{ parent: Digest }>(PARENTS, repo, manifest, MOST_LOOKED_AT + 1);
    for (const { parent } of parents) found.add(parent);
  }
  return undefined;
}
