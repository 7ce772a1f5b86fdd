/** The contract over every way to keep the data: in memory, and in files with SQLite, small blobs inline and not. */
import { MemoryEngine } from "../src/metadata/memory/memory-engine.ts";
import { DEFAULT_RULES } from "../src/metadata/database.ts";
import { Metadata } from "../src/metadata/metadata.ts";
import { createBackend } from "../src/registry/backend.ts";
import type { Backend } from "../src/registry/backend.ts";
import { collectAll, collectTrash } from "../src/registry/gc/collector.ts";
import { LocalNamespace } from "../src/registry/namespace.ts";
import { bytesSuite, contractSuite } from "../src/registry/testing/contract-suite.ts";
import { ManualClock } from "../src/registry/testing/contract-subject.ts";
import type { OpenContract } from "../src/registry/testing/contract-subject.ts";
import { FilesystemBlobStore } from "../src/storage/filesystem/filesystem-blob-store.ts";
import { MemoryBlobStore } from "../src/storage/memory/memory-blob-store.ts";
import { KEEP_NOTHING, contractRegistry, keysIn } from "./support/contract-registry.ts";
import { scratchFolder } from "./support/scratch.ts";

const root = await scratchFolder();

/** In memory: what another process would share is shared, and what it would have of its own it has. */
const inMemory: OpenContract = async (given) => {
  const clock = new ManualClock();
  const store = new MemoryBlobStore();
  const metadata = new Metadata(await MemoryEngine.open(), clock);
  const backend = (): Backend => createBackend({ store, metadata, clock, limits: given });
  return {
    clock,
    namespace: new LocalNamespace(backend()),
    another: async () => new LocalNamespace(backend()),
    collectAll: () => collectAll(backend(), { ...DEFAULT_RULES, ...KEEP_NOTHING }),
    async kept() {
      await collectTrash(backend());
      return await keysIn(store);
    },
    [Symbol.asyncDispose]: () => metadata.close(),
  };
};

function inFiles(inlineBytes: number): OpenContract {
  return contractRegistry({
    root,
    inlineBytes,
    storageIn: (folder) => ({ storage: { folder }, openStore: () => FilesystemBlobStore.open(folder) }),
  });
}

contractSuite("memory", inMemory, { files: false });
contractSuite("files and SQLite", inFiles(16 * 1024), { files: true });
bytesSuite("files and SQLite, nothing inline", inFiles(0), { files: true });
