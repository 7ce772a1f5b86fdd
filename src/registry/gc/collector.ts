/** Collection while serving. The protocol stands above `metadata/collection.ts`; here is who carries it out, and when. */
import { setImmediate as nextTurn } from "node:timers/promises";
import { Pace } from "../../lib/pace.ts";
import { UNLINK_DELAY_MS } from "../../metadata/trash.ts";
import { MOST_COUNTED } from "../../metadata/collection.ts";
import type { Collectable, CollectionStep } from "../../metadata/collection.ts";
import type { CollectionPreview } from "../../metadata/collection-preview.ts";
import type { CollectionRules } from "../../metadata/database.ts";
import type { QueuePosition } from "../../metadata/garbage.ts";
import type { Backend } from "../backend.ts";
import { emptyTrash } from "./trash.ts";

export interface CollectionReport {
  readonly manifests: number;
  readonly links: number;
  readonly blobs: number;
  /** Bytes of those blobs. */
  readonly bytes: number;
  /** Uploads whose time was over. */
  readonly uploads: number;
  /** Files removed from the store. */
  readonly files: number;
}

export interface CollectionHooks {
  /** What time it is; the registry's own clock when absent. */
  readonly now?: () => number;
  /** Entries of each step; as many as take about two milliseconds when absent. */
  readonly stepSize?: number;
  /** Called after each step, and waited for; when it says "stop", the rest is left. */
  readonly onStep?: (progress: CollectionProgress) => Promise<"stop" | void> | "stop" | void;
  /** Leaves the rest once it is aborted. */
  readonly signal?: AbortSignal;
}

export interface CollectionProgress {
  /** What is being done: looking at what may have lost its last reference, or unlinking files. */
  readonly work: "looking" | "unlinking";
  /** Entries that were looked at, or files that were unlinked, so far. */
  readonly done: number;
  /** How many there are in all; undefined when they were not counted. */
  readonly total: number | undefined;
}

/** Entries of one step. */
const STEP = { least: 10, most: 200 };
/** Manifests, or entries of a dry run, that are looked at in one step: their rows fit into the cache of the database. */
const LOOKED_AT = { least: 20, most: 100 };
/** Links of one blob that a dry run looks at in one step. */
const LINKS_AT_ONCE = 500;

/** Looks at what has become due in the queue. Short, and the rest keeps: meant to be called again and again. */
export async function collectDue(
  backend: Backend,
  rules: CollectionRules,
  hooks: CollectionHooks = {},
): Promise<CollectionReport> {
  const run = new Run(backend, rules, hooks);
  return (await run.due()) ? await run.unlink() : run.report;
}

/**
 * Looks at the whole queue, due or not, and then at what becomes due by that, until nothing more goes. With `rules.untagged`
 * every manifest without a tag is put into it first.
 */
export async function collectAll(
  backend: Backend,
  rules: CollectionRules,
  hooks: CollectionHooks = {},
): Promise<CollectionReport> {
  const { metadata } = backend;
  if (rules.untagged && !(await queueUntagged(backend, hooks.signal))) return NOTHING;
  const run = new Run(backend, rules, hooks);
  if (!(await run.all(totalOf((await metadata.collection.backlog()).entries))) || !(await run.due())) return run.report;
  // Files that an earlier run put off for readers, which the caller does not grant so much time.
  const aheadMs = Math.max(0, UNLINK_DELAY_MS - rules.graceMs);
  return await run.unlink(totalOf((await metadata.collection.backlog()).files), aheadMs);
}

/** Ends expired uploads and empties the trash, but collects nothing. */
export function collectTrash(backend: Backend, hooks: CollectionHooks = {}): Promise<CollectionReport> {
  return new Run(backend, backend.rules, hooks).unlink();
}

/**
 * What a collection would take now of what is in the queue, and with `rules.untagged` of all manifests without a tag. Only
 * reads, in steps. It does not follow what it lists: what a manifest that goes has held is not in it.
 */
export async function* previewCollection(backend: Backend, rules: CollectionRules): AsyncGenerator<Collectable> {
  const { collectionPreviews } = backend.metadata;
  const lists = [
    (from: QueuePosition | undefined, size: number) => collectionPreviews.queue(rules, from, size),
    ...(rules.untagged
      ? [(from: QueuePosition | undefined, size: number) => collectionPreviews.untagged(rules, from, size)]
      : []),
  ];
  const pace = new Pace(LOOKED_AT);
  for (const list of lists) {
    let from: QueuePosition | undefined;
    do {
      const page: CollectionPreview = await pace.step((size) => list(from, size));
      await nextTurn(); // reads keep no writer out: requests of this process need no more
      yield* page.found;
      for (const blob of page.undecided) if (await losesAllLinks(backend, rules, blob)) yield blob;
      from = page.next;
    } while (from);
  }
}

async function losesAllLinks({ metadata }: Backend, rules: CollectionRules, { digest }: Collectable): Promise<boolean> {
  for (let after: number | undefined = 0; after !== undefined;) {
    const from: number = after;
    const links = await metadata.collectionPreviews.links(rules, digest, from, LINKS_AT_ONCE);
    if (links.stays) return false;
    after = links.next;
    await nextTurn();
  }
  return true;
}

/** Puts all manifests that no tag points at into the queue. Returns false when `signal` said stop before it was done. */
export async function queueUntagged({ metadata }: Backend, signal?: AbortSignal): Promise<boolean> {
  const pace = new Pace({ ...LOOKED_AT, commits: () => metadata.lastCommit(), signal });
  let from: QueuePosition | undefined;
  do {
    if (signal?.aborted) return false;
    from = await pace.step((size) => metadata.collection.enqueueUntagged(from, size));
    if (from && !(await pace.rest())) return false;
  } while (from);
  return true;
}

/** How many there are, when all were counted. */
function totalOf(counted: number): number | undefined {
  return counted < MOST_COUNTED ? counted : undefined;
}

const NOTHING: CollectionReport = { manifests: 0, links: 0, blobs: 0, bytes: 0, uploads: 0, files: 0 };

/** One collection, and what it has done so far. Its methods return false when the rest is left. */
class Run {
  readonly #backend: Backend;
  readonly #rules: CollectionRules;
  readonly #hooks: CollectionHooks;
  readonly #pace: Pace;
  #reviewed = 0;
  report: CollectionReport = NOTHING;

  constructor(backend: Backend, rules: CollectionRules, hooks: CollectionHooks) {
    const { stepSize, signal } = hooks;
    const sizes = stepSize === undefined ? STEP : { least: stepSize, most: stepSize };
    this.#backend = backend;
    this.#rules = rules;
    this.#hooks = hooks;
    this.#pace = new Pace({ ...sizes, commits: () => backend.metadata.lastCommit(), signal });
  }

  /** Looks at the entries whose time has come. */
  async due(): Promise<boolean> {
    for (;;) {
      const { reviewed, taken, next } = await this.#step(undefined, true);
      if (reviewed === 0) return true;
      if (!(await this.#goesOn(undefined))) return false;
      // What a manifest held is due at once.
      if (!next && !taken.some(({ kind }) => kind === "manifest")) return true;
    }
  }

  /** Looks at all entries, of which there are `total` when that is known. */
  async all(total: number | undefined): Promise<boolean> {
    let from: QueuePosition | undefined;
    do {
      const { reviewed, next } = await this.#step(from, false);
      if (reviewed > 0 && !(await this.#goesOn(total && Math.max(total, this.#reviewed)))) return false;
      from = next;
    } while (from);
    return true;
  }

  /** Ends uploads and unlinks files. */
  async unlink(total?: number, aheadMs = 0): Promise<CollectionReport> {
    const { onStep, signal } = this.#hooks;
    const onUnlinked = (done: number): Promise<"stop" | void> | "stop" | void =>
      onStep?.({ work: "unlinking", done, total });
    const done = await emptyTrash(this.#backend, onUnlinked, { aheadMs, signal });
    return { ...this.report, ...done };
  }

  async #step(from: QueuePosition | undefined, due: boolean): Promise<CollectionStep> {
    const { collection } = this.#backend.metadata;
    const { now } = this.#hooks;
    const step = await this.#pace.step((limit, onBegin) =>
      collection.collect(this.#rules, from, { due, limit, onBegin, ...(now ? { now: now() } : {}) }),
    );
    this.#reviewed += step.reviewed;
    this.report = withTaken(this.report, step.taken);
    return step;
  }

  async #goesOn(total: number | undefined): Promise<boolean> {
    const progress: CollectionProgress = { work: "looking", done: this.#reviewed, total };
    return (await this.#hooks.onStep?.(progress)) !== "stop" && (await this.#pace.rest());
  }
}

function withTaken(report: CollectionReport, taken: readonly Collectable[]): CollectionReport {
  let { manifests, links, blobs, bytes } = report;
  for (const { kind, size } of taken) {
    if (kind === "manifest") manifests++;
    else if (kind === "link") links++;
    else {
      blobs++;
      bytes += size;
    }
  }
  return { ...report, manifests, links, blobs, bytes };
}
