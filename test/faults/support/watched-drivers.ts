/** The ports below a registry, with somebody who sees every call before it is made: to refuse it, to slow it, to die. */
import type { SqlEngine } from "../../../src/metadata/sql.ts";
import type { BlobStore, Draft } from "../../../src/storage/blob-store.ts";

/** What a call is made on, and its name there, such as `store.seal`, `draft.append` or `database.write`. */
export type Call = `${"store" | "draft" | "database"}.${string}`;

/** Calls that change nothing. */
export const READS: ReadonlySet<Call> = new Set([
  "database.read",
  "store.stat",
  "store.read",
  "store.readDraft",
  "store.list",
]);

/** Makes the call by calling `make`, or does something else. `bytes` is how many an append brings. */
export type Watcher = <Result>(call: Call, make: () => Promise<Result>, bytes?: number) => Promise<Result>;

/** The same store. Every await of its callers is one call; what a call reads piece by piece is one for each piece. */
export function watchedStore(store: BlobStore, watch: Watcher): BlobStore {
  return {
    draftKey: (upload) => store.draftKey(upload),
    storageKey: (draft, digest) => store.storageKey(draft, digest),
    source: (key) => store.source(key),
    isUnchanged: (key, known) => store.isUnchanged(key, known),
    stage: (key) => watch("store.stage", async () => watchedDraft(await store.stage(key), watch)),
    reopen: (key, size) =>
      watch("store.reopen", async () => {
        const draft = await store.reopen(key, size);
        return draft && watchedDraft(draft, watch);
      }),
    copyDraft: (from, to, size) => watch("store.copyDraft", () => store.copyDraft(from, to, size)),
    readDraft: (key, size) => watchedPieces(store.readDraft(key, size), "store.readDraft", watch),
    seal: (draft, key) => watch("store.seal", () => store.seal(draft, key)),
    unseal: (key, draft) => watch("store.unseal", () => store.unseal(key, draft)),
    stat: (key) => watch("store.stat", () => store.stat(key)),
    read: (key, range) => watchedPieces(store.read(key, range), "store.read", watch),
    list: () => watchedPieces(store.list(), "store.list", watch),
    delete: (keys) => watch("store.delete", () => store.delete(keys)),
    checkRoom: (bytes) => watch("store.checkRoom", () => store.checkRoom(bytes)),
    checkReady: () => watch("store.checkReady", () => store.checkReady()),
  };
}

/** The same engine. Transactions are whole or not at all, so that each is one call. */
export function watchedEngine(engine: SqlEngine, watch: Watcher): SqlEngine {
  return {
    holders: engine.holders,
    read: (work) => watch("database.read", () => engine.read(work)),
    write: (work, durability) => watch("database.write", () => engine.write(work, durability)),
    revision: () => engine.revision(),
    flush: () => watch("database.flush", () => engine.flush()),
    checkReady: () => watch("database.checkReady", () => engine.checkReady()),
    close: () => engine.close(),
  };
}

function watchedDraft(draft: Draft, watch: Watcher): Draft {
  return {
    append: (bytes) => watch("draft.append", () => draft.append(bytes), bytes.length),
    truncate: (size) => watch("draft.truncate", () => draft.truncate(size)),
    flush: () => watch("draft.flush", () => draft.flush()),
    sync: () => watch("draft.sync", () => draft.sync()),
    [Symbol.asyncDispose]: () => watch("draft.dispose", async () => await draft[Symbol.asyncDispose]()),
  };
}

async function* watchedPieces<Piece>(source: AsyncIterable<Piece>, call: Call, watch: Watcher): AsyncGenerator<Piece> {
  const iterator = source[Symbol.asyncIterator]();
  try {
    for (;;) {
      const step = await watch(call, () => iterator.next());
      if (step.done) return;
      yield step.value;
    }
  } finally {
    await iterator.return?.();
  }
}
