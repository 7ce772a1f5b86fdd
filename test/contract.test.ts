/** The contract over every way to keep the data: in memory, and in files with SQLite, small blobs inline and not. */
import { afterAll } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRegistry } from "../src/create-registry.ts";
import type { Registry } from "../src/create-registry.ts";
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
import type { BlobStore } from "../src/storage/blob-store.ts";

const root = await mkdtemp(join(tmpdir(), "stowage-contract-"));
afterAll(async () => {
  await rm(root, { recursive: true, force: true });
});

/** So that nothing is collected but the trash. */
const KEEP_ALL = { leaseMs: Number.MAX_SAFE_INTEGER, graceMs: Number.MAX_SAFE_INTEGER };

const KEEP_NOTHING = { leaseMs: 0, graceMs: 0 };

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

/** In a folder: another process is another registry on the same one. */
function inFiles(inlineBytes: number): OpenContract {
  return async (given) => {
    const clock = new ManualClock();
    const folder = await mkdtemp(join(root, "data-"));
    const limits = { inlineBytes, ...given };
    const opened: Registry[] = [];
    const open = async (): Promise<Registry> => {
      const registry = await createRegistry({ storage: { folder }, limits, clock });
      opened.push(registry);
      return registry;
    };
    const registry = await open();
    return {
      clock,
      folder,
      namespace: registry.namespace,
      another: async () => (await open()).namespace,
      collectAll: () => registry.collect(KEEP_NOTHING),
      async kept() {
        await registry.collect(KEEP_ALL);
        return await keysIn(await FilesystemBlobStore.open(folder));
      },
      async [Symbol.asyncDispose]() {
        for (const each of opened) await each.close();
        await rm(folder, { recursive: true, force: true });
      },
    };
  };
}

async function keysIn(store: BlobStore): Promise<readonly string[]> {
  return (await Array.fromAsync(store.list())).map(({ key }) => key);
}

contractSuite("memory", inMemory, { files: false });
contractSuite("files and SQLite", inFiles(16 * 1024), { files: true });
bytesSuite("files and SQLite, nothing inline", inFiles(0), { files: true });
