/** Folders whose names are durable. */
import { open } from "node:fs/promises";
import { dirname } from "node:path";
import type { InheritedPermissions } from "../../lib/inherited-permissions.ts";
import { SingleFlight } from "../../lib/single-flight.ts";

/**
 * Makes folders and makes names in them durable. A name (of a file or of a folder) outlives a power loss only when
 * the folder that holds it was synced after the name was made.
 */
export class Folders {
  readonly #root: string;
  readonly #permissions: InheritedPermissions;
  /** Folders that this process has seen durable. */
  readonly #durable = new Set<string>();
  readonly #creations = new SingleFlight<string, void>();
  readonly #syncing = new Map<string, { readonly next: Promise<void>; started: boolean }>();

  /** `root` is taken to be there already, and durable. */
  constructor(root: string, permissions: InheritedPermissions) {
    this.#root = root;
    this.#permissions = permissions;
    this.#durable.add(root);
  }

  /**
   * Makes `folder`, below the root, and those above it; durable when it resolves. A folder that is there already is
   * synced into its parent once all the same: the process that made it may have died before it did so.
   */
  async ensure(folder: string): Promise<void> {
    if (!this.#durable.has(folder)) await this.#creations.run(folder, () => this.#make(folder));
  }

  /** Forgets that `folder` and those above it are there, because one of them was found missing. */
  forget(folder: string): void {
    for (let each = folder; each !== this.#root; each = dirname(each)) this.#durable.delete(each);
  }

  /**
   * Makes the names durable that were made in `folder` before the call. Calls that come while a sync runs share the
   * next one.
   */
  sync(folder: string): Promise<void> {
    const waiting = this.#syncing.get(folder);
    if (waiting && !waiting.started) return waiting.next;
    const entry = { started: false, next: Promise.resolve() };
    entry.next = (async () => {
      // The sync under way may have begun before the caller's rename: then it does not cover it.
      await waiting?.next.catch(() => undefined);
      entry.started = true;
      try {
        await syncFolder(folder);
      } finally {
        if (this.#syncing.get(folder) === entry) this.#syncing.delete(folder);
      }
    })();
    this.#syncing.set(folder, entry);
    return entry.next;
  }

  async #make(folder: string): Promise<void> {
    const parent = dirname(folder);
    await this.ensure(parent);
    await this.#permissions.makeFolder(folder).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT" || parent === this.#root) throw error;
      // The parent folder is in the cache, but was removed meanwhile.
      this.forget(parent);
      await this.ensure(parent);
      await this.#permissions.makeFolder(folder);
    });
    await this.sync(parent);
    this.#durable.add(folder);
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
