/** Holders of uploads on one machine: each has a file that it locks, and the system releases the lock at its death. */
import { randomUUID } from "node:crypto";
import { existsSync, readdirSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { InheritedPermissions } from "../../lib/inherited-permissions.ts";
import type { Holder, HolderFate, Holders } from "../holders.ts";
import { Connection, sqliteCode } from "./connection.ts";

/** The folder inside the data folder with a file for each holder. */
export const HOLDERS = "holders";

/** How often an id is drawn anew, when a file was removed between its making and its locking. */
const MAX_ATTEMPTS = 10;

/**
 * The lock is SQLite's own (POSIX, on a file that holds nothing), as that on the data folder: it works between containers
 * that share the folder, where process ids mean nothing, and no id can be used again by another process.
 */
export class HolderLocks implements Holders {
  readonly #dataFolder: string;
  readonly #folder: string;

  constructor(dataFolder: string) {
    this.#dataFolder = dataFolder;
    this.#folder = join(dataFolder, HOLDERS);
  }

  async announce(): Promise<Holder> {
    const permissions = InheritedPermissions.in(this.#dataFolder);
    await permissions.makeFolder(this.#folder);
    this.#removeEnded();
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const id = randomUUID();
      permissions.makeFile(this.#path(id)); // before it is locked: closing a file ends the locks of the process on it
      const lock = this.#lock(id);
      // Another process may have found the file before it was locked, and removed it: then no process sees the lock.
      if (lock && existsSync(this.#path(id))) return this.#holder(id, lock);
      lock?.close();
    }
    throw new Error(`no file in ${this.#folder} can be locked`);
  }

  /** The system knows: a holder runs, or has ended. */
  async fateOf(id: string): Promise<HolderFate> {
    return this.#hasEnded(id) ? "ended" : "runs";
  }

  #hasEnded(id: string): boolean {
    const path = this.#path(id);
    if (!existsSync(path)) return true;
    try {
      const lock = this.#lock(id);
      if (!lock) return false;
      removeFile(path);
      lock.close();
      return true;
    } catch {
      return false; // such as a file that this user may not open
    }
  }

  #holder(id: string, lock: Connection): Holder {
    let isEnded = false;
    return {
      id,
      [Symbol.asyncDispose]: async () => {
        if (isEnded) return;
        isEnded = true;
        removeFile(this.#path(id));
        lock.close();
      },
    };
  }

  /** Removes the files of processes that died. */
  #removeEnded(): void {
    for (const id of readdirSync(this.#folder)) this.#hasEnded(id);
  }

  /** Locks the file of a holder. Undefined when another connection has locked it. */
  #lock(id: string): Connection | undefined {
    // SQLite prepares an empty file for writing: with its journal in memory no second file stays behind.
    const lock = Connection.open(this.#path(id), ["busy_timeout = 0", "journal_mode = memory"]);
    try {
      lock.exec("begin exclusive");
      return lock;
    } catch (error) {
      lock.close();
      if (sqliteCode(error)?.startsWith("SQLITE_BUSY")) return undefined;
      throw error;
    }
  }

  #path(id: string): string {
    return join(this.#folder, id);
  }
}

function removeFile(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}
