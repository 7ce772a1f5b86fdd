/** The ports below a registry, with a watcher of every call before it is made: to refuse it, to slow it, to die. */
import type { SqlEngine } from "../../../src/metadata/sql.ts";
import type { BlobStore, PartWriter } from "../../../src/storage/blob-store.ts";

/** What a call is made on, and its name there, such as `part.commit`, `part.append` or `database.write`. */
export type Call = `${"store" | "part" | "database"}.${string}`;

/** Calls that change nothing. */
export const READS: ReadonlySet<Call> = new Set(["database.read", "store.stat", "store.read", "store.list"]);

/** Makes the call by calling `make`, or does something else. `bytes` is how many an append brings. */
export type Watcher = <Result>(call: Call, make: () => Promise<Result>, bytes?: number) => Promise<Result>;

/** The same store. Every await of its callers is one call; what a call reads piece by piece is one for each piece. */
export function watchedStore(store: BlobStore, watch: Watcher): BlobStore {
  return {
    partKey: (upload) => store.partKey(upload),
    storageKey: (part, digest, attempt) => store.storageKey(part, digest, attempt),
    locate: (key, size) => store.locate(key, size),
    isUnchanged: (key, known) => store.isUnchanged(key, known),
    begin: (key, options) => watch("store.begin", async () => watchedPart(await store.begin(key, options), watch)),
    resume: (counted, options) =>
      watch("store.resume", async () => {
        const part = await store.resume(counted, options);
        return part && watchedPart(part, watch);
      }),
    takeOver: (part, fresh, ending) => watch("store.takeOver", () => store.takeOver(part, fresh, ending)),
    forget: (part, recorded) => watch("store.forget", () => store.forget(part, recorded)),
    stat: (key) => watch("store.stat", () => store.stat(key)),
    read: (key, range) => watchedPieces(store.read(key, range), "store.read", watch),
    list: () => watchedPieces(store.list(), "store.list", watch),
    delete: (keys) => watch("store.delete", () => store.delete(keys)),
    checkRoom: (bytes) => watch("store.checkRoom", () => store.checkRoom(bytes)),
    checkReady: () => watch("store.checkReady", () => store.checkReady()),
    close: () => store.close(),
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

function watchedPart(part: PartWriter, watch: Watcher): PartWriter {
  return {
    append: (bytes) => watch("part.append", () => part.append(bytes), bytes.length),
    checkpoint: () => watch("part.checkpoint", () => part.checkpoint()),
    commit: (key) => watch("part.commit", () => part.commit(key)),
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
