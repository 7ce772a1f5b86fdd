/** The ports below a registry, with somebody who sees every call before it is made: to refuse it, to slow it, to die. */
import type { SqlEngine } from "../../../src/metadata/sql.ts";
import type { BlobStore, PartFile } from "../../../src/storage/blob-store.ts";

/** What a call is made on, and its name there, such as `store.commit`, `part.append` or `database.write`. */
export type Call = `${"store" | "part" | "database"}.${string}`;

/** Calls that change nothing. */
export const READS: ReadonlySet<Call> = new Set([
  "database.read",
  "store.stat",
  "store.read",
  "store.readPart",
  "store.list",
]);

/** Makes the call by calling `make`, or does something else. `bytes` is how many an append brings. */
export type Watcher = <Result>(call: Call, make: () => Promise<Result>, bytes?: number) => Promise<Result>;

/** The same store. Every await of its callers is one call; what a call reads piece by piece is one for each piece. */
export function watchedStore(store: BlobStore, watch: Watcher): BlobStore {
  return {
    partKey: (upload) => store.partKey(upload),
    storageKey: (part, digest) => store.storageKey(part, digest),
    locate: (key, size) => store.locate(key, size),
    isUnchanged: (key, known) => store.isUnchanged(key, known),
    stage: (key) => watch("store.stage", async () => watchedPart(await store.stage(key), watch)),
    resume: (key, size) =>
      watch("store.resume", async () => {
        const part = await store.resume(key, size);
        return part && watchedPart(part, watch);
      }),
    copyPart: (from, to, size) => watch("store.copyPart", () => store.copyPart(from, to, size)),
    readPart: (key, size) => watchedPieces(store.readPart(key, size), "store.readPart", watch),
    commit: (part, key) => watch("store.commit", () => store.commit(part, key)),
    reopen: (key, part) => watch("store.reopen", () => store.reopen(key, part)),
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
    readNow: (work) => engine.readNow(work),
    lastCommit: () => engine.lastCommit(),
    flush: () => watch("database.flush", () => engine.flush()),
    checkReady: () => watch("database.checkReady", () => engine.checkReady()),
    close: () => engine.close(),
  };
}

function watchedPart(part: PartFile, watch: Watcher): PartFile {
  return {
    append: (bytes) => watch("part.append", () => part.append(bytes), bytes.length),
    truncate: (size) => watch("part.truncate", () => part.truncate(size)),
    flush: () => watch("part.flush", () => part.flush()),
    sync: () => watch("part.sync", () => part.sync()),
    [Symbol.asyncDispose]: () => watch("part.dispose", async () => await part[Symbol.asyncDispose]()),
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
