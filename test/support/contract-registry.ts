/** Registries that the contract is tried on, with their data in a folder of their own and wherever else it is kept. */
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { createRegistry } from "../../src/create-registry.ts";
import type { Registry } from "../../src/create-registry.ts";
import type { FolderStorage } from "../../src/open-drivers.ts";
import { ManualClock } from "../../src/registry/testing/contract-subject.ts";
import type { OpenContract } from "../../src/registry/testing/contract-subject.ts";
import type { BlobStore } from "../../src/storage/blob-store.ts";

/** So that nothing is collected but the trash. */
const KEEP_ALL = { leaseMs: Number.MAX_SAFE_INTEGER, graceMs: Number.MAX_SAFE_INTEGER };

export const KEEP_NOTHING = { leaseMs: 0, graceMs: 0 };

interface ContractStorage {
  readonly storage: FolderStorage;
  /** Opens the store that has the bytes of blobs. */
  readonly openStore: () => BlobStore | Promise<BlobStore>;
}

interface ContractRegistry {
  /** Where the folders are made. */
  readonly root: string;
  readonly inlineBytes: number;
  /** Where a new registry keeps its data: in the folder, and elsewhere. */
  readonly storageIn: (folder: string) => ContractStorage | Promise<ContractStorage>;
}

/** Another process is another registry on the same storage. */
export function contractRegistry({ root, inlineBytes, storageIn }: ContractRegistry): OpenContract {
  return async (given) => {
    const clock = new ManualClock();
    const folder = await mkdtemp(join(root, "data-"));
    const { storage, openStore } = await storageIn(folder);
    const opened: Registry[] = [];
    const open = async (): Promise<Registry> => {
      const registry = await createRegistry({ storage, limits: { inlineBytes, ...given }, clock });
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
        return await keysIn(await openStore());
      },
      async [Symbol.asyncDispose]() {
        for (const each of opened) await each.close();
        await rm(folder, { recursive: true, force: true });
      },
    };
  };
}

export async function keysIn(store: BlobStore): Promise<readonly string[]> {
  return (await Array.fromAsync(store.list())).map(({ key }) => key);
}
