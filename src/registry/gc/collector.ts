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
  /** Called after each step with what has been looked at so far; what it returns is waited for. */
  readonly onStep?: (reviewed: number) => Promise<void> | void;
}

/** Entries of one transaction: about a millisecond of work. */
const STEP = 50;

/** Looks at what has become due in the queue. Short, and the rest keeps: meant to be called again and again. */
export async function collectDue(
  backend: Backend,
  rules: CollectionRules,
  hooks: CollectionHooks = {},
): Promise<CollectionReport> {
  const total = await steps(hooks, () => backend.metadata.collect(rules, undefined, { due: true, limit: STEP }));
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
    const pass = await steps(hooks, (from) => metadata.collect(rules, from, { due: false, limit: STEP }));
    sum = add(sum, pass);
    if (pass.manifests + pass.links + pass.blobs === 0) return { ...sum, ...(await emptyTrash(backend)) };
  }
}

/** What `collectAll` would take in its first pass. */
export async function* previewCollection(backend: Backend, rules: CollectionRules): AsyncGenerator<Collectable> {
  let from: QueuePosition | undefined;
  do {
    const { found, next } = await backend.metadata.collectable(rules, from, STEP);
    yield* found;
    from = next;
  } while (from);
}

/** Puts all manifests that no tag points at into the queue. */
export async function queueUntagged({ metadata }: Backend): Promise<void> {
  let from: QueuePosition | undefined;
  do from = await metadata.queueUntagged(from, STEP);
  while (from);
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
    await hooks.onStep?.(reviewed);
  } while (from);
  return sum;
}
