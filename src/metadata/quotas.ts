/** Quotas: bounds on what lies below a prefix of names, and how much that is. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Digest } from "../oci/digest.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import type { Signature } from "../oci/signature.ts";
import type { Tag } from "../oci/tag.ts";
import { integer, query, text } from "./columns.ts";
import type { Database, Quota } from "./database.ts";
import { digestBytes } from "./digest-bytes.ts";
import { usageBelow } from "./quota-counting.ts";
import type { Amounts, CountedUsage } from "./quota-counting.ts";
import { TAG_IS_LIVE } from "./removed-tags.ts";
import { findLinked, findManifest, findRepository } from "./repositories.ts";
import { bound, first, listed, rows, rowsOfBoth } from "./sql.ts";
import type { Durability, Transaction } from "./sql.ts";

/** Why a write was not made: nothing of it is written. */
export type QuotaProblem =
  /** It does not fit into a quota. */
  | {
      readonly kind: "quota";
      readonly prefix: string;
      readonly what: keyof Amounts;
      /** At least so much, while what lies there is being counted. */
      readonly used: number;
      readonly limit: number;
      /** When something of what was deleted there is collected next, in milliseconds since 1970: until then it counts. */
      readonly nextCollection: number | undefined;
    }
  /** What lies below the prefix of a quota is still being counted, and what may be added until then was added. */
  | { readonly kind: "counting"; readonly prefix: string };

/** Whether the result of a write says that a quota was in its way. */
export function isQuotaProblem(result: unknown): result is QuotaProblem {
  if (typeof result !== "object" || result === null || !("kind" in result)) return false;
  return result.kind === "quota" || result.kind === "counting";
}

/** What a write is about to add to a repository. */
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

// Of the first entries of the queue alone: a person is told a time, and no request walks the queue.
const NEXT_LINK = query(
  { reviewAfter: integer },
  `
  select q.review_after from (
    select repo, review_after from repo_blob where review_after is not null order by review_after limit 1000) q
  join repo r on r.id = q.repo where ${IS_BELOW} order by q.review_after limit 1`,
);

const NEXT_MANIFEST = query(
  { reviewAfter: integer },
  `
  select q.review_after from (
    select repo, review_after from manifest where review_after is not null order by review_after limit 1000) q
  join repo r on r.id = q.repo where ${IS_BELOW} order by q.review_after limit 1`,
);

const BLOB_SIZE = query({ size: integer }, `select size from blob where digest = $1`);

const SIGNATURES = query(
  { name: text },
  `
  select s.name from manifest m join signature s on s.manifest = m.id
  where m.repo = $1 and m.digest = $2 and s.name in (select value from json_each($3))`,
);

const PRESENT_TAGS = query(
  { count: integer },
  `
  select count(*) as count from tag t
  where t.repo = $1 and t.name in (select value from json_each($2)) and ${TAG_IS_LIVE}`,
);

/** Those of the quotas that bound a repository. */
export function quotasOf(quotas: readonly Quota[], name: RepositoryName): readonly Quota[] {
  return quotas.filter(({ prefix }) => prefix === "*" || name === prefix || name.startsWith(`${prefix}/`));
}

/** Milliseconds for which a write waits for a quota that is being counted, and between two looks at it. */
const COUNTING_LIMIT_MS = 5000;
const LOOK_AGAIN_MS = 50;

/** Writes what fits into the quotas of a repository. Waits for a while when it can only be told once one is counted. */
export async function writeWithin<Result>(
  database: Database,
  name: RepositoryName,
  addition: Addition,
  work: () => Transaction<Result>,
  durability: Durability = "durable",
): Promise<Result | QuotaProblem> {
  const quotas = quotasOf(database.quotas, name);
  if (quotas.length === 0) return await database.engine.write(work, durability);
  return await writeCounted(database, () => within(quotas, name, addition, work), durability);
}

/** Makes a write again until what it needs to know is counted, for a while. */
export async function writeCounted<Result>(
  database: Database,
  attempt: () => Transaction<Result | QuotaProblem>,
  durability: Durability,
): Promise<Result | QuotaProblem> {
  const deadline = performance.now() + COUNTING_LIMIT_MS;
  for (;;) {
    const result = await database.engine.write(attempt, durability);
    const isCounting = isQuotaProblem(result) && result.kind === "counting";
    if (!isCounting || performance.now() > deadline) return result;
    database.countQuotas(); // no request counts
    await sleep(LOOK_AGAIN_MS);
  }
}

/** Does the work when its addition fits into the quotas. */
export function* within<Result>(
  quotas: readonly Quota[],
  name: RepositoryName,
  addition: Addition,
  work: () => Transaction<Result>,
): Transaction<Result | QuotaProblem> {
  return (yield* findProblem(quotas, name, addition)) ?? (yield* work());
}

/** Undefined when the addition fits into all of the quotas, or adds nothing. */
function* findProblem(
  quotas: readonly Quota[],
  name: RepositoryName,
  addition: Addition,
): Transaction<QuotaProblem | undefined> {
  const repo = yield* findRepository(name);
  const added = {
    bytes: yield* bytesOf(repo, addition),
    tags: yield* newTags(repo, addition.tags ?? []),
    repositories: repo === undefined ? 1 : 0,
  };
  for (const quota of quotas) {
    const usage = yield* usageBelow(quota.prefix);
    for (const what of AMOUNTS) {
      const problem = yield* problemOf(quota, what, usage, added[what]);
      if (problem) return problem;
    }
  }
  return undefined;
}

const AMOUNTS = ["bytes", "tags", "repositories"] as const;

/** While a quota is being counted, so much of its limit may be added: it is exceeded by no more. */
const ADDED_MEANWHILE = 0.05;

/** How much may be added now. Nothing when it is not recorded that the quota is being counted. */
function freeIn(quota: Quota, what: keyof Amounts, usage: CountedUsage | undefined): number {
  const limit = quota[what];
  if (limit === undefined) return Infinity;
  if (usage === undefined) return 0;
  const free = limit - usage[what];
  return usage.added ? Math.min(free, Math.floor(limit * ADDED_MEANWHILE) - usage.added[what]) : free;
}

function* problemOf(
  quota: Quota,
  what: keyof Amounts,
  usage: CountedUsage | undefined,
  added: number,
): Transaction<QuotaProblem | undefined> {
  const limit = quota[what];
  if (limit === undefined || added <= 0 || added <= freeIn(quota, what, usage)) return undefined;
  const used = usage?.[what] ?? 0;
  return used + added > limit ? yield* overQuota(quota, what, used) : { kind: "counting", prefix: quota.prefix };
}

/** So many of the bytes that are wanted fit into all of the quotas; `least` do. */
export function* freeBytes(quotas: readonly Quota[], least: number, most: number): Transaction<number> {
  let free = most;
  for (const quota of quotas) free = Math.min(free, freeIn(quota, "bytes", yield* usageBelow(quota.prefix)));
  return Math.max(least, free);
}

/** The problem of so many bytes more, as far as the quotas are counted. Only reads. */
export function* findBytesProblem(quotas: readonly Quota[], bytes: number): Transaction<QuotaProblem | undefined> {
  for (const quota of quotas) {
    const problem = yield* problemOf(quota, "bytes", yield* usageBelow(quota.prefix), bytes);
    if (problem?.kind === "quota") return problem;
  }
  return undefined;
}

function* overQuota(quota: Quota, what: keyof Amounts, used: number): Transaction<QuotaProblem> {
  const { prefix, [what]: limit = 0 } = quota;
  // A tag is gone at once; bytes, and names of repositories, are when they are collected.
  if (what === "tags") return { kind: "quota", prefix, what, used, limit, nextCollection: undefined };
  const [links, manifests] = yield* rowsOfBoth(bound(NEXT_LINK, prefix), bound(NEXT_MANIFEST, prefix));
  const next = Math.min(...[...links, ...manifests].map(({ reviewAfter }) => reviewAfter));
  return { kind: "quota", prefix, what, used, limit, nextCollection: Number.isFinite(next) ? next : undefined };
}

function* bytesOf(repo: number | undefined, addition: Addition): Transaction<number> {
  const { bytes = 0, blob, linked, manifest, signatures } = addition;
  let sum = bytes;
  if (linked && !(repo !== undefined && (yield* findLinked(repo, linked.digest)) !== undefined)) sum += linked.size;
  if (blob && !(repo !== undefined && (yield* findLinked(repo, blob)) !== undefined)) {
    sum += (yield* first(BLOB_SIZE, digestBytes(blob)))?.size ?? 0;
  }
  if (manifest && !(repo !== undefined && (yield* findManifest(repo, manifest.digest)) !== undefined)) {
    sum += manifest.size;
  }
  if (signatures) {
    const names = listed(signatures.given.map(({ name }) => name));
    const present = repo === undefined ? [] : yield* rows(SIGNATURES, repo, digestBytes(signatures.manifest), names);
    const taken = new Set(present.map(({ name }) => name));
    for (const { name, content } of signatures.given) if (!taken.has(name)) sum += content.length;
  }
  return sum;
}

function* newTags(repo: number | undefined, tags: readonly Tag[]): Transaction<number> {
  if (repo === undefined || tags.length === 0) return new Set(tags).size;
  return new Set(tags).size - ((yield* first(PRESENT_TAGS, repo, listed(tags)))?.count ?? 0);
}
