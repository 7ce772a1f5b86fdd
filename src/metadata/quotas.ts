/** Quotas: bounds on what lies below a prefix of names, and how much that is. */
import type { Digest } from "../oci/digest.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import type { Signature } from "../oci/signature.ts";
import type { Tag } from "../oci/tag.ts";
import { integer, optional, query, repositoryName, text } from "./columns.ts";
import type { Database, Quota } from "./database.ts";
import { findRepository, hasManifest, isLinked } from "./repositories.ts";
import { any, first, rows, run } from "./sql.ts";
import type { Durability, Transaction } from "./sql.ts";

/** How much lies below the prefix of a quota; bytes of what two repositories show count twice. */
export interface QuotaUsage {
  readonly bytes: number;
  readonly tags: number;
  readonly repositories: number;
}

/** Why a write was not made: nothing of it is written. */
export type QuotaProblem =
  /** It does not fit into a quota. */
  | {
      readonly kind: "quota";
      readonly prefix: string;
      readonly what: keyof QuotaUsage;
      readonly used: number;
      readonly limit: number;
      /** When something of what was deleted there is collected next, in milliseconds since 1970: until then it counts. */
      readonly nextCollection: number | undefined;
    }
  /** What lies below the prefix of a quota is still being counted. */
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

const USAGE = query(
  { bytes: integer, tags: integer, repositories: integer, countedTo: optional(text) },
  `select bytes, tags, repositories, counted_to from quota where prefix = $1`,
);

const BEGIN = `insert into quota (prefix, bytes, tags, repositories, counted_to) values ($1, 0, 0, 0, '')`;

const PREFIXES = query({ prefix: text }, `select prefix from quota`);
const FORGET = `delete from quota where prefix = $1`;

const REPOSITORY = { name: repositoryName, bytes: integer, tags: integer };

const NEXT_REPOSITORIES = query(
  REPOSITORY,
  `select name, bytes, tags from repo where name > $1 and name < $2 order by name limit $3`,
);

const ONE_REPOSITORY = query(REPOSITORY, `select name, bytes, tags from repo where name = $1`);

const COUNT = `
  update quota set bytes = bytes + $2, tags = tags + $3, repositories = repositories + $4, counted_to = $5
  where prefix = $1`;

// Of the first entries of the queue alone: a person is told a time, and no request walks the queue.
const NEXT_COLLECTION = query(
  { reviewAfter: integer },
  `
  select q.review_after from (select repo, review_after from gc_queue order by review_after limit 1000) q
  join repo r on r.id = q.repo where ${IS_BELOW} order by q.review_after limit 1`,
);

const BLOB_SIZE = query({ size: integer }, `select size from blob where digest = $1`);
const HAS_SIGNATURE = `select 1 as found from signature where repo = $1 and manifest = $2 and name = $3`;
const HAS_TAG = `select 1 as found from tag where repo = $1 and name = $2`;

/** Those of the quotas that bound a repository. */
export function quotasOf(quotas: readonly Quota[], name: RepositoryName): readonly Quota[] {
  return quotas.filter(({ prefix }) => prefix === "*" || name === prefix || name.startsWith(`${prefix}/`));
}

/** Milliseconds for which a write waits for a quota that is being counted. */
const COUNTING_LIMIT_MS = 5000;

/** Writes what fits into the quotas of a repository. Waits for a while when one of them is being counted. */
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
  { engine }: Database,
  attempt: () => Transaction<Result | QuotaProblem>,
  durability: Durability,
): Promise<Result | QuotaProblem> {
  const deadline = performance.now() + COUNTING_LIMIT_MS;
  for (;;) {
    const result = await engine.write(attempt, durability); // each attempt counts on
    const isCounting = isQuotaProblem(result) && result.kind === "counting";
    if (!isCounting || performance.now() > deadline) return result;
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
    if (!usage) return { kind: "counting", prefix: quota.prefix };
    for (const what of ["bytes", "tags", "repositories"] as const) {
      if (exceeds(quota, what, usage, added[what])) return yield* overQuota(quota, what, usage);
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

/** The problem of so many bytes more, as far as the quotas are counted. Only reads. */
export function* findBytesProblem(quotas: readonly Quota[], bytes: number): Transaction<QuotaProblem | undefined> {
  for (const quota of quotas) {
    const usage = yield* countedUsage(quota.prefix);
    if (usage && exceeds(quota, "bytes", usage, bytes)) return yield* overQuota(quota, "bytes", usage);
  }
  return undefined;
}

/** Forgets what lies below prefixes that have no quota any more, and begins to count for those that have one since now. */
function* beginCounting(prefixes: readonly string[]): Transaction<void> {
  const known = (yield* rows(PREFIXES)).map(({ prefix }) => prefix);
  for (const prefix of known) if (!prefixes.includes(prefix)) yield* run(FORGET, prefix);
  for (const prefix of new Set(prefixes)) if (!known.includes(prefix)) yield* run(BEGIN, prefix);
}

/** Repositories that are counted in one step: about a millisecond. */
const STEP = 1000;

/**
 * How much lies below a prefix. It is counted in steps, by the repositories' own sums, and kept by triggers from then on.
 * Returns undefined while it is not counted: another call goes on.
 */
export function* usageBelow(prefix: string): Transaction<QuotaUsage | undefined> {
  let row = yield* first(USAGE, prefix);
  if (!row) {
    yield* run(BEGIN, prefix);
    row = { bytes: 0, tags: 0, repositories: 0, countedTo: "" };
  }
  const { countedTo, ...usage } = row;
  if (countedTo === undefined) return usage;
  return (yield* countNext(prefix, countedTo)) ? yield* usageBelow(prefix) : undefined;
}

/** How much lies below the prefix of a quota; undefined while that is not counted. Only reads. */
function* countedUsage(prefix: string): Transaction<QuotaUsage | undefined> {
  const row = yield* first(USAGE, prefix);
  if (!row || row.countedTo !== undefined) return undefined;
  const { bytes, tags, repositories } = row;
  return { bytes, tags, repositories };
}

/** False when there is more to count. What is counted, by names, the triggers keep from the same moment on. */
function* countNext(prefix: string, countedTo: string): Transaction<boolean> {
  const [from, to] = prefix === "*" ? ["", LAST_NAME] : [`${prefix}/`, `${prefix}${AFTER_SLASH}`];
  // Other repositories may stand between that of the very name and those below it: `team-b` between `team` and `team/app`.
  const own = prefix !== "*" && countedTo < prefix ? yield* rows(ONE_REPOSITORY, prefix) : [];
  const start = countedTo < from ? from : countedTo;
  const below = yield* rows(NEXT_REPOSITORIES, start, to, STEP);
  const counted = [...own, ...below];
  const isDone = below.length < STEP;
  yield* run(
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

function exceeds(quota: Quota, what: keyof QuotaUsage, usage: QuotaUsage, added: number): boolean {
  const limit = quota[what];
  return limit !== undefined && added > 0 && usage[what] + added > limit;
}

function* overQuota(quota: Quota, what: keyof QuotaUsage, usage: QuotaUsage): Transaction<QuotaProblem> {
  const { prefix, [what]: limit = 0 } = quota;
  // A tag is gone at once; bytes, and names of repositories, are when they are collected.
  const next = what === "tags" ? undefined : yield* first(NEXT_COLLECTION, prefix);
  return { kind: "quota", prefix, what, used: usage[what], limit, nextCollection: next?.reviewAfter };
}

function* bytesOf(repo: number | undefined, addition: Addition): Transaction<number> {
  const { bytes = 0, blob, linked, manifest, signatures } = addition;
  let sum = bytes;
  if (linked && !(repo !== undefined && (yield* isLinked(repo, linked.digest)))) sum += linked.size;
  if (blob && !(repo !== undefined && (yield* isLinked(repo, blob)))) {
    sum += (yield* first(BLOB_SIZE, blob))?.size ?? 0;
  }
  if (manifest && !(repo !== undefined && (yield* hasManifest(repo, manifest.digest)))) sum += manifest.size;
  if (signatures) {
    for (const { name, content } of signatures.given) {
      const isHere = repo !== undefined && (yield* any(HAS_SIGNATURE, repo, signatures.manifest, name));
      if (!isHere) sum += content.length;
    }
  }
  return sum;
}

function* newTags(repo: number | undefined, tags: readonly Tag[]): Transaction<number> {
  let count = 0;
  for (const tag of new Set(tags)) if (repo === undefined || !(yield* any(HAS_TAG, repo, tag))) count++;
  return count;
}

export class Quotas {
  readonly #database: Database;
  #isClosed = false;

  constructor(database: Database) {
    this.#database = database;
  }

  /**
   * Counts what lies below the prefixes of quotas, in small steps, and forgets what was counted for quotas that are no more.
   * Resolves once all is counted; a write that a quota bounds waits for that.
   */
  async count(): Promise<void> {
    if (this.#isClosed) return;
    const { engine, quotas } = this.#database;
    const prefixes = quotas.map(({ prefix }) => prefix);
    await engine.write(() => beginCounting(prefixes), "soon");
    for (const prefix of prefixes) {
      while (!this.#isClosed && !(await engine.write(() => usageBelow(prefix), "soon")));
    }
  }

  /** How much lies below the prefix of a quota; undefined while that is not counted. */
  usage(prefix: string): Promise<QuotaUsage | undefined> {
    return this.#database.engine.read(() => countedUsage(prefix));
  }

  /** Ends counting, before the engine is closed. */
  close(): void {
    this.#isClosed = true;
  }
}
