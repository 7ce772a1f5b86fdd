/** The contract of a registry whose metadata is in PostgreSQL and whose bytes are files. */
import { contractSuite } from "../../src/registry/testing/contract-suite.ts";
import { FilesystemBlobStore } from "../../src/storage/filesystem/filesystem-blob-store.ts";
import { contractRegistry } from "../support/contract-registry.ts";
import { scratchFolder } from "../support/scratch.ts";
import { sharedServer } from "./support/postgres-server.ts";

const root = await scratchFolder();

const inPostgres = contractRegistry({
  root,
  inlineBytes: 16 * 1024,
  async storageIn(folder) {
    const url = await (await sharedServer()).createMigratedDatabase();
    return {
      storage: { folder, database: { url, connections: 4 } },
      openStore: () => FilesystemBlobStore.open(folder),
    };
  },
});

contractSuite("files and PostgreSQL", inPostgres, { files: true });
