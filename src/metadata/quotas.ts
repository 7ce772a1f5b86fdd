/** Bounds on what lies below a prefix of names, and statements about how much that is. */
import type { Digest } from "../oci/digest.ts";
import { OciError } from "../oci/error.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import type { Signature } from "../oci/signature.ts";
import type { Tag } from "../oci/tag.ts";
import { formatSize } from "../lib/size.ts";
import type { QuotaUsage } from "./metadata-store.ts";
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
  /** A blob that an upload becomes. */
  readonly linked?: { readonly digest: Digest; readonly size: number };
  readonly manifest?: { readonly digest: Digest; readonly size: number };
  readonly tags?: readonly Tag[];
  readonly signatures?: { readonly manifest: Digest; readonly given: readonly Signature[] };
}

/** Every statement that takes a prefix as $1 means the repository of that name and all below it; `*` means all. */
const IS_BELOW = `($1 = '*' or r.name = $1 or substr(r.name, 1, length($1) + 1) = $1 || '/')`;

const USAGE = `select bytes, tags, repositories, counted_to from quota where prefix = $1`;

const BEGIN = `insert into quota (prefix, bytes, tags, repositories, counted_to) values ($1, 0, 0, 0, '')`;

const PREFIXES = `select prefix from quota`;
const FORGET = `delete from quota where prefix = $1`;

const NEXT_REPOSITORIES = `
  select name, bytes, tags from repo where name > $1 and name < $2 order by name limit $3`;

const ONE_REPOSITORY = `select name, bytes, tags from repo where name = $1`;

const COUNT = `
  update quota set bytes = bytes + $2, tags = tags + $3, repositories = repositories + $4, counted_to = $5
  where prefix = $1`;

// Of the first entries of the queue alone: a person is told a time, and no request walks the queue.
const NEXT_COLLECTION = `
  select q.review_after from (select repo, review_after from gc_queue order by review_after limit 1000) q
  join repo r on r.id = q.repo where ${IS_BELOW} order by q.review_after limit 1`;

const LINKED = `select 1 as found from repo_blob where repo = $1 and digest = $2`;
const BLOB_SIZE = `select size from blob where digest = $1`;
const HAS_MANIFEST = `select 1 as found from manifest where repo = $1 and digest = $2`;
const HAS_SIGNATURE = `select 1 as found from signature where repo = $1 and manifest = $2 and name = $3`;
const HAS_TAG = `select 1 as found from tag where repo = $1 and name = $2`;

/** Those of the quotas that bound a repository. */
export function quotasOf(quotas: readonly Quota[], name: RepositoryName): readonly Quota[] {
  return quotas.filter(({ prefix }) => prefix === "*" || name === prefix || name.startsWith(`${prefix}/`));
}

/**
 * Returns undefined when the addition fits into all of the quotas, or adds nothing. Returns the prefix of a quota of which it
 * is not known yet, because it is being counted: another call goes on with that. Throws `DENIED` when it does not fit.
 */
export function* requireRoom(
  quotas: readonly Quota[],
  name: RepositoryName,
  addition: Addition,
): Transaction<string | undefined> {
  const repo = yield* findRepository(name);
  const added = {
    bytes: yield* bytesOf(repo, addition),
    tags: yield* newTags(repo, addition.tags ?? []),
    repositories: repo === undefined ? 1 : 0,
  };
  for (const quota of quotas) {
    const usage = yield* usageBelow(quota.prefix);
    if (!usage) return quota.prefix;
    for (const what of ["bytes", "tags", "repositories"] as const) {
      if (exceeds(quota, what, usage, added[what])) throw yield* refusal(quota, what, usage);
    }
  }
  return undefined;
}

/** So many of the bytes that are wanted fit into all of the quotas, which were counted; `least` do. */
export function* freeBytes(quotas: readonly Quota[], least: number, most: number): Transaction<number> {
  let free = most;
  for (const { prefix, bytes = Infinity } of quotas) {
    free = Math.min(free, bytes - ((yield* countedUsage(prefix))?.bytes ?? 0));
  }
  return Math.max(least, free);
}

/** Throws `DENIED` when so many bytes more do not fit into one of the quotas, as far as they are counted. Only reads. */
export function* requireFreeBytes(quotas: readonly Quota[], bytes: number): Transaction<void> {
  for (const quota of quotas) {
    const usage = yield* countedUsage(quota.prefix);
    if (usage && exceeds(quota, "bytes", usage, bytes)) throw yield* refusal(quota, "bytes", usage);
  }
}

/** Forgets what lies below prefixes that have no quota any more, and begins to count for those that have one since now. */
export function* keepQuotas(prefixes: readonly string[]): Transaction<void> {
  const known = (yield* rows<{ prefix: string }>(PREFIXES)).map(({ prefix }) => prefix);
  for (const prefix of known) if (!prefixes.includes(prefix)) yield* rows(FORGET, prefix);
  for (const prefix of new Set(prefixes)) if (!known.includes(prefix)) yield* rows(BEGIN, prefix);
}

/** For a write that has waited for long enough. */
export function beingCounted(prefix: string): OciError {
  return new OciError("UNAVAILABLE", {
    message: `what lies below ${prefix} is being counted, because its quota is new: try again in a moment`,
    detail: { prefix },
    retryAfterSeconds: 5,
  });
}

/** Repositories that are counted in one step: about a millisecond. */
const STEP = 1000;

/**
 * How much lies below a prefix. It is counted in steps, by the repositories' own sums, and kept by triggers from then on.
 * Returns undefined while it is not counted: another call goes on.
 */
export function* usageBelow(prefix: string): Transaction<QuotaUsage | undefined> {
  let row = yield* first<UsageRow>(USAGE, prefix);
  if (!row) {
    yield* rows(BEGIN, prefix);
    row = { bytes: 0, tags: 0, repositories: 0, counted_to: "" };
  }
  const { counted_to: countedTo, ...usage } = row;
  if (countedTo === null) return usage;
  return (yield* countNext(prefix, countedTo)) ? yield* usageBelow(prefix) : undefined;
}

/** How much lies below the prefix of a quota; undefined while that is not counted. Only reads. */
export function* countedUsage(prefix: string): Transaction<QuotaUsage | undefined> {
  const row = yield* first<UsageRow>(USAGE, prefix);
  if (!row || row.counted_to !== null) return undefined;
  const { bytes, tags, repositories } = row;
  return { bytes, tags, repositories };
}

/** False when there is more to count. What is counted, by names, the triggers keep from the same moment on. */
function* countNext(prefix: string, countedTo: string): Transaction<boolean> {
  const [from, to] = prefix === "*" ? ["", LAST_NAME] : [`${prefix}/`, `${prefix}${AFTER_SLASH}`];
  // Other repositories may stand between that of the very name and those below it: `team-b` between `team` and `team/app`.
  const own = prefix !== "*" && countedTo < prefix ? yield* rows<RepositoryRow>(ONE_REPOSITORY, prefix) : [];
  const start = countedTo < from ? from : countedTo;
  const below = yield* rows<RepositoryRow>(NEXT_REPOSITORIES, start, to, STEP);
  const counted = [...own, ...below];
  const isDone = below.length < STEP;
  yield* rows(
    COUNT,
    prefix,
    counted.reduce((sum, { bytes }) => sum + bytes, 0),
    counted.reduce((sum, { tags }) => sum + tags, 0),
    counted.length,
    isDone ? null : (below.at(-1)?.name ?? null),
  );
  return isDone;
}

/** Behind every name of a repository, by bytes. */
const LAST_NAME = "~";
/** The character behind the slash, by bytes. */
const AFTER_SLASH = "0";

interface UsageRow extends QuotaUsage {
  readonly counted_to: string | null;
}

interface RepositoryRow {
  readonly name: string;
  readonly bytes: number;
  readonly tags: number;
}

function exceeds(quota: Quota, what: keyof QuotaUsage, usage: QuotaUsage, added: number): boolean {
  const limit = quota[what];
  return limit !== undefined && added > 0 && usage[what] + added > limit;
}

function* refusal(quota: Quota, what: keyof QuotaUsage, usage: QuotaUsage): Transaction<OciError> {
  const [used, limit = 0] = [usage[what], quota[what]];
  const amounts = what === "bytes" ? [formatSize(used), formatSize(limit)] : [`${used}`, `${limit} ${what}`];
  const whose = quota.prefix === "*" ? "this registry" : quota.prefix;
  // A tag is gone at once; bytes, and names of repositories, are when they are collected.
  const due = what === "tags" ? undefined : yield* first<{ review_after: number }>(NEXT_COLLECTION, quota.prefix);
  const next = due && new Date(due.review_after).toISOString();
  return new OciError("DENIED", {
    message:
      `the quota of ${whose} does not allow more (quotas): ${amounts.join(" of ")} are used; ` +
      "delete what is not needed there, or ask the operator for more" +
      (next === undefined ? "" : `. What is deleted counts until it is collected, next from ${next} on`),
    detail: { prefix: quota.prefix, what, used, limit, ...(next === undefined ? {} : { nextCollection: next }) },
  });
}

function* bytesOf(repo: number | undefined, addition: Addition): Transaction<number> {
  const { bytes = 0, blob, linked, manifest, signatures } = addition;
  let sum = bytes;
  if (linked && !(repo !== undefined && (yield* first(LINKED, repo, linked.digest)))) sum += linked.size;
  if (blob && !(repo !== undefined && (yield* first(LINKED, repo, blob)))) {
    sum += (yield* first<{ size: number }>(BLOB_SIZE, blob))?.size ?? 0;
  }
  if (manifest && !(repo !== undefined && (yield* first(HAS_MANIFEST, repo, manifest.digest)))) sum += manifest.size;
  for (const { name, content } of signatures?.given ?? []) {
    const isNew = repo === undefined || !(yield* first(HAS_SIGNATURE, repo, signatures?.manifest ?? "", name));
    if (isNew) sum += content.length;
  }
  return sum;
}

function* newTags(repo: number | undefined, tags: readonly Tag[]): Transaction<number> {
  let count = 0;
  for (const tag of new Set(tags)) {
    if (repo === undefined || !(yield* first(HAS_TAG, repo, tag))) count++;
  }
  return count;
}
