/** Collection while serving. The protocol stands above `metadata/collection.ts`; here is who carries it out, and when. */
import type { Collectable, CollectionRules, CollectionStep, QueuePosition } from "../../metadata/metadata-store.ts";
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
  /** Called after each step with what has been looked at so far, and waited for; when it says "stop", the rest is left. */
  readonly onStep?: (reviewed: number) => Promise<"stop" | void> | "stop" | void;
}

/** Entries of one transaction: about a millisecond of work. */
const STEP = 50;

/** Looks at what has become due in the queue. Short, and the rest keeps: meant to be called again and again. */
export async function collectDue(
  backend: Backend,
  rules: CollectionRules,
  hooks: CollectionHooks = {},
): Promise<CollectionReport> {
  const total = await steps(hooks, () =>
    backend.metadata.collect(rules, undefined, { due: true, limit: STEP, ...at(hooks) }),
  );
  return { ...total, ...(await emptyTrash(backend)) };
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
    const pass = await steps(hooks, (from) => metadata.collect(rules, from, { due: false, limit: STEP, ...at(hooks) }));
    sum = add(sum, pass);
    if (pass.manifests + pass.links + pass.blobs === 0) return { ...sum, ...(await emptyTrash(backend)) };
  }
}

/** What `collectAll` would take in its first pass. */
export async function* previewCollection(backend: Backend, rules: CollectionRules): AsyncGenerator<Collectable> {
  const { metadata } = backend;
  const seen = new Set<string>();
  const lists = [
    (from: QueuePosition | undefined) => metadata.collectable(rules, from, STEP),
    ...(rules.untagged ? [(from: QueuePosition | undefined) => metadata.collectableUntagged(rules, from, STEP)] : []),
  ];
  for (const list of lists) {
    let from: QueuePosition | undefined;
    do {
      const { found, next } = await list(from);
      for (const item of found) {
        const key = `${item.kind} ${item.repository ?? ""} ${item.digest}`;
        if (!seen.has(key)) yield item;
        seen.add(key);
      }
      from = next;
    } while (from);
  }
}

/** Puts all manifests that no tag points at into the queue. */
export async function queueUntagged({ metadata }: Backend): Promise<void> {
  let from: QueuePosition | undefined;
  do from = await metadata.queueUntagged(from, STEP);
  while (from);
}

function at({ now }: CollectionHooks): { readonly now?: number } {
  return now ? { now: now() } : {};
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

async function steps(
  hooks: CollectionHooks,
  step: (from: QueuePosition | undefined) => Promise<CollectionStep>,
): Promise<Counts> {
  let sum = NOTHING;
  let reviewed = 0;
  let from: QueuePosition | undefined;
  do {
    const done = await step(from);
    sum = add(sum, done);
    reviewed += done.reviewed;
    from = done.next;
    if ((await hooks.onStep?.(reviewed)) === "stop") return sum;
  } while (from);
  return sum;
}
