/** Bounds on what lies below a prefix of names, and statements about how much that is. */
import type { Digest } from "../oci/digest.ts";
import { OciError } from "../oci/error.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import type { Tag } from "../oci/tag.ts";
import { formatSize } from "../lib/size.ts";
import { findRepository } from "./repositories.ts";
import { first, rows } from "./sql.ts";
import type { Transaction } from "./sql.ts";

/** How much may lie in the repository `prefix` and in all below it; `*` is the whole registry. */
export interface Quota {
  readonly prefix: string;
  /** Of blobs and manifests; what two repositories show counts twice. */
  readonly bytes?: number | undefined;
  readonly tags?: number | undefined;
  readonly repositories?: number | undefined;
}

/** What somebody is about to add to a repository. */
export interface Addition {
  /** Bytes of what is not here yet. */
  readonly bytes?: number;
  /** A blob of another repository. */
  readonly blob?: Digest;
  readonly manifest?: { readonly digest: Digest; readonly size: number };
  readonly tags?: readonly Tag[];
}

interface Usage {
  readonly bytes: number;
  readonly tags: number;
  readonly repositories: number;
}

const USAGE = `select bytes, tags, repositories from quota where prefix = $1`;

const BELOW = `($1 = '*' or r.name = $1 or substr(r.name, 1, length($1) + 1) = $1 || '/')`;

const COUNT = `
  insert into quota (prefix, bytes, tags, repositories) values ($1,
    coalesce((select sum(b.size) from repo r join repo_blob l on l.repo = r.id join blob b on b.digest = l.digest
      where ${BELOW}), 0)
    + coalesce((select sum(m.size) from repo r join manifest m on m.repo = r.id where ${BELOW}), 0),
    (select count(*) from repo r join tag t on t.repo = r.id where ${BELOW}),
    (select count(*) from repo r where ${BELOW}))`;

const LINKED = `select 1 as found from repo_blob where repo = $1 and digest = $2`;
const BLOB_SIZE = `select size from blob where digest = $1`;
const HAS_MANIFEST = `select 1 as found from manifest where repo = $1 and digest = $2`;
const HAS_TAG = `select 1 as found from tag where repo = $1 and name = $2`;

/** Those of the quotas that bound a repository. */
export function quotasOf(quotas: readonly Quota[], name: RepositoryName): readonly Quota[] {
  return quotas.filter(({ prefix }) => prefix === "*" || name === prefix || name.startsWith(`${prefix}/`));
}

/**
 * Refuses with `DENIED` what would not fit into one of the quotas. What adds nothing always fits, and so does a change in
 * what is there.
 */
export function* requireRoom(quotas: readonly Quota[], name: RepositoryName, addition: Addition): Transaction<void> {
  const repo = yield* findRepository(name);
  const added = {
    bytes: yield* bytesOf(repo, addition),
    tags: yield* newTags(repo, addition.tags ?? []),
    repositories: repo === undefined ? 1 : 0,
  };
  for (const quota of quotas) {
    const usage = yield* usageBelow(quota.prefix);
    refuseAbove(quota, "bytes", usage, added.bytes);
    refuseAbove(quota, "tags", usage, added.tags);
    refuseAbove(quota, "repositories", usage, added.repositories);
  }
}

/** How much lies below a prefix. It is counted once, and kept from then on. */
export function* usageBelow(prefix: string): Transaction<Usage> {
  const known = yield* first<Usage>(USAGE, prefix);
  if (known) return known;
  yield* rows(COUNT, prefix);
  const counted = yield* first<Usage>(USAGE, prefix);
  if (!counted) throw new Error(`what lies below ${prefix} was not counted`);
  return counted;
}

function refuseAbove(quota: Quota, what: keyof Usage, usage: Usage, added: number): void {
  const limit = quota[what];
  const used = usage[what];
  if (limit === undefined || added === 0 || used + added <= limit) return;
  const amounts = what === "bytes" ? [formatSize(used), formatSize(limit)] : [`${used}`, `${limit} ${what}`];
  const whose = quota.prefix === "*" ? "this registry" : quota.prefix;
  throw new OciError("DENIED", {
    message:
      `the quota of ${whose} does not allow more (quotas): ${amounts.join(" of ")} are used; ` +
      "delete what is not needed there, or ask the operator for more",
    detail: { prefix: quota.prefix, what, used, limit },
  });
}

function* bytesOf(repo: number | undefined, { bytes = 0, blob, manifest }: Addition): Transaction<number> {
  let sum = bytes;
  if (blob && !(repo !== undefined && (yield* first(LINKED, repo, blob)))) {
    sum += (yield* first<{ size: number }>(BLOB_SIZE, blob))?.size ?? 0;
  }
  if (manifest && !(repo !== undefined && (yield* first(HAS_MANIFEST, repo, manifest.digest)))) sum += manifest.size;
  return sum;
}

function* newTags(repo: number | undefined, tags: readonly Tag[]): Transaction<number> {
  let count = 0;
  for (const tag of new Set(tags)) {
    if (repo === undefined || !(yield* first(HAS_TAG, repo, tag))) count++;
  }
  return count;
}
