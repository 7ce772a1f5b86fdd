/** Collection while serving. The protocol stands above `metadata/collection.ts`; here is who carries it out, and when. */
import { setTimeout as sleep } from "node:timers/promises";
import { UNLINK_DELAY_MS } from "../../metadata/trash.ts";
import type { Collectable, CollectionStep, QueuePosition } from "../../metadata/collection.ts";
import type { CollectionRules } from "../../metadata/database.ts";
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
  /** Entries of one step: others wait while its transaction runs. 50 when absent. */
  readonly stepSize?: number;
  /** Called after each step, and waited for; when it says "stop", the rest is left. */
  readonly onStep?: (progress: CollectionProgress) => Promise<"stop" | void> | "stop" | void;
}

export interface CollectionProgress {
  /** What is being done: looking at what may have lost its last reference, or unlinking files. */
  readonly work: "looking" | "unlinking";
  /** Entries that were looked at, or files that were unlinked, so far. */
  readonly done: number;
  /** How many there are in all, when somebody counted them. */
  readonly total: number | undefined;
}

/** One or two milliseconds of work. */
const STEP = 50;

/** Looks at what has become due in the queue. Short, and the rest keeps: meant to be called again and again. */
export async function collectDue(
  backend: Backend,
  rules: CollectionRules,
  hooks: CollectionHooks = {},
): Promise<CollectionReport> {
  const { counts, stopped } = await steps(hooks, undefined, () =>
    backend.metadata.collection.collect(rules, undefined, { due: true, limit: stepSizeOf(hooks), ...at(hooks) }),
  );
  return { ...counts, ...(stopped ? NOTHING_UNLINKED : await unlink(backend, hooks, undefined)) };
}

/**
 * Looks at the whole queue, due or not, until nothing more goes: what goes may free something else. With
 * `rules.untagged` every manifest without a tag is put into it first.
 */
export async function collectAll(
  backend: Backend,
  rules: CollectionRules,
  hooks: CollectionHooks = {},
): Promise<CollectionReport> {
  const { metadata } = backend;
  if (rules.untagged) await queueUntagged(backend);
  let sum = NOTHING;
  for (;;) {
    const { entries } = await metadata.collection.backlog();
    const { counts, stopped } = await steps(hooks, entries, (from) =>
      metadata.collection.collect(rules, from, { due: false, limit: stepSizeOf(hooks), ...at(hooks) }),
    );
    sum = add(sum, counts);
    if (stopped) return { ...sum, ...NOTHING_UNLINKED };
    if (counts.manifests + counts.links + counts.blobs > 0) continue;
    // Files that an earlier run put off for readers, which the caller does not grant so much time.
    const aheadMs = Math.max(0, UNLINK_DELAY_MS - rules.graceMs);
    return { ...sum, ...(await unlink(backend, hooks, (await metadata.collection.backlog()).files, aheadMs)) };
  }
}

/** Ends what is over and unlinks what was thrown away, and collects nothing. */
export async function collectTrash(backend: Backend, hooks: CollectionHooks = {}): Promise<CollectionReport> {
  return { ...NOTHING, ...(await unlink(backend, hooks, undefined)) };
}

/** What `collectAll` would take in its first pass. */
export async function* previewCollection(backend: Backend, rules: CollectionRules): AsyncGenerator<Collectable> {
  const { metadata } = backend;
  const seen = new Set<string>();
  const lists = [
    (from: QueuePosition | undefined) => metadata.collection.preview(rules, from, STEP),
    ...(rules.untagged
      ? [(from: QueuePosition | undefined) => metadata.collection.previewUntagged(rules, from, STEP)]
      : []),
  ];
  for (const list of lists) {
    let from: QueuePosition | undefined;
    do {
      const started = performance.now();
      const { found, next } = await list(from);
      // A page takes the lock of writers: half of the time is theirs.
      if (next) await sleep(performance.now() - started);
      for (const item of found) {
        const key = `${item.kind} ${item.repository ?? ""} ${item.digest}`;
        if (!seen.has(key)) yield item;
        seen.add(key);
      }
      from = next;
    } while (from);
  }
}

/** Puts all manifests that no tag points at into the queue. Returns false when `signal` said stop before it was done. */
export async function queueUntagged({ metadata }: Backend, signal?: AbortSignal): Promise<boolean> {
  let from: QueuePosition | undefined;
  do {
    if (signal?.aborted) return false;
    from = await metadata.collection.enqueueUntagged(from, STEP);
  } while (from);
  return true;
}

function at({ now }: CollectionHooks): { readonly now?: number } {
  return now ? { now: now() } : {};
}

function stepSizeOf({ stepSize = STEP }: CollectionHooks): number {
  return stepSize;
}

type Counts = Pick<CollectionReport, "manifests" | "links" | "blobs" | "bytes">;

const NOTHING: Counts = { manifests: 0, links: 0, blobs: 0, bytes: 0 };

function add(a: Counts, b: Counts): Counts {
  return {
    manifests: a.manifests + b.manifests,
    links: a.links + b.links,
    blobs: a.blobs + b.blobs,
    bytes: a.bytes + b.bytes,
  };
}

function countsOf(taken: readonly Collectable[]): Counts {
  const of = (kind: Collectable["kind"]): readonly Collectable[] => taken.filter((each) => each.kind === kind);
  const blobs = of("blob");
  return {
    manifests: of("manifest").length,
    links: of("link").length,
    blobs: blobs.length,
    bytes: blobs.reduce((sum, { size }) => sum + size, 0),
  };
}

async function steps(
  hooks: CollectionHooks,
  total: number | undefined,
  step: (from: QueuePosition | undefined) => Promise<CollectionStep>,
): Promise<{ readonly counts: Counts; readonly stopped: boolean }> {
  let counts = NOTHING;
  let done = 0;
  let from: QueuePosition | undefined;
  do {
    const stepped = await step(from);
    counts = add(counts, countsOf(stepped.taken));
    done += stepped.reviewed;
    from = stepped.next;
    if ((await hooks.onStep?.({ work: "looking", done, total })) === "stop") return { counts, stopped: true };
  } while (from);
  return { counts, stopped: false };
}

const NOTHING_UNLINKED = { uploads: 0, files: 0 };

function unlink(
  backend: Backend,
  hooks: CollectionHooks,
  total: number | undefined,
  aheadMs = 0,
): Promise<{ readonly uploads: number; readonly files: number }> {
  return emptyTrash(backend, (done) => hooks.onStep?.({ work: "unlinking", done, total }), aheadMs);
}
