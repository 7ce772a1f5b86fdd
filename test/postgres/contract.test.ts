/** The contract of a registry whose metadata is in PostgreSQL and whose bytes are files. */
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { createRegistry } from "../../src/create-registry.ts";
import type { Registry } from "../../src/create-registry.ts";
import { contractSuite } from "../../src/registry/testing/contract-suite.ts";
import { ManualClock } from "../../src/registry/testing/contract-subject.ts";
import type { OpenContract } from "../../src/registry/testing/contract-subject.ts";
import { FilesystemBlobStore } from "../../src/storage/filesystem/filesystem-blob-store.ts";
import { scratchFolder } from "../support/scratch.ts";
import { sharedServer } from "./support/postgres-server.ts";

const root = await scratchFolder();

/** So that nothing is collected but the trash. */
const KEEP_ALL = { leaseMs: 1e15, graceMs: 1e15 };

const KEEP_NOTHING = { leaseMs: 0, graceMs: 0 };

/** Another process is another registry on the same database and folder. */
const inPostgres: OpenContract = async (limits) => {
  const clock = new ManualClock();
  const folder = await mkdtemp(join(root, "data-"));
  const url = await (await sharedServer()).createMigratedDatabase();
  const opened: Registry[] = [];
  const open = async (): Promise<Registry> => {
    const storage = { folder, database: { url, connections: 4 } };
    const registry = await createRegistry({ storage, limits: { inlineBytes: 16 * 1024, ...limits }, clock });
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
      return (await Array.fromAsync((await FilesystemBlobStore.open(folder)).list())).map(({ key }) => key);
    },
    async [Symbol.asyncDispose]() {
      for (const each of opened) await each.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
};

contractSuite("files and PostgreSQL", inPostgres, { files: true });
