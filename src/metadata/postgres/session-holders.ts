/**
 * Holders on any machines: each has a connection with an advisory lock, which the server releases at once when the process
 * dies. Where nothing tells the server that a process has gone, such as a machine without power, its lease decides.
 */
import { randomUUID } from "node:crypto";
import { pause } from "../../lib/pause.ts";
import { truth } from "../columns.ts";
import type { Holder, HolderFate, Holders } from "../holders.ts";
import type { ConnectionPool, PooledConnection } from "./connection-pool.ts";
import { rowsOf } from "./wire.ts";

/** How often a holder finds out whether its connection is still there: until then it counts as disconnected. */
const LOOK_MS = 2000;

/** Ids of holders that have a lock begin so; others are of a program that knew leases alone. */
const LOCKED = "session-";

const KEY = `hashtextextended('stowage holder ' || $1, 0)`;
const LOCK = `select pg_advisory_lock(${KEY})`;
const IS_LOCKED = `select pg_try_advisory_lock_shared(${KEY}) as was_free`;
const UNLOCK_SHARED = `select pg_advisory_unlock_shared(${KEY})`;
const IS_THERE = `select 1`;

export class SessionHolders implements Holders {
  readonly #pool: ConnectionPool;

  constructor(pool: ConnectionPool) {
    this.#pool = pool;
  }

  /** Resolves when the lock is taken. It keeps a connection of the pool until it is disposed of. */
  async announce(): Promise<Holder> {
    const id = `${LOCKED}${randomUUID()}`;
    const ending = new AbortController();
    const first = Promise.withResolvers<void>();
    const kept = this.#keep(id, ending.signal, first);
    await first.promise;
    return {
      id,
      async [Symbol.asyncDispose]() {
        ending.abort();
        await kept;
      },
    };
  }

  async fateOf(id: string): Promise<HolderFate> {
    if (!id.startsWith(LOCKED)) return "runs";
    // Shared, so that two who ask at the same moment are told the same.
    const isFree = await this.#pool.use(async (connection) => {
      const [row] = rowsOf((await connection.send([{ text: IS_LOCKED, values: [id] }]))[0]);
      if (!truth(row?.["was_free"])) return false;
      const [unlocked] = await connection.send([{ text: UNLOCK_SHARED, values: [id] }]);
      if (!unlocked || "error" in unlocked) connection.spoil();
      return true;
    });
    // A connection breaks for other reasons too, such as a restart of the server.
    return isFree ? "disconnected" : "runs";
  }

  /** Holds the lock, and takes it again whenever its connection broke. `first` settles with the first attempt. */
  async #keep(id: string, signal: AbortSignal, first: PromiseWithResolvers<void>): Promise<void> {
    const hold = async (connection: PooledConnection): Promise<void> => {
      try {
        rowsOf((await connection.send([{ text: LOCK, values: [id] }]))[0]);
        first.resolve();
        while (await pause(LOOK_MS, signal)) rowsOf((await connection.send([{ text: IS_THERE, values: [] }]))[0]);
      } finally {
        connection.spoil(); // with the lock
      }
    };
    for (let isAnnounced = false; !signal.aborted; isAnnounced = true) {
      try {
        await this.#pool.use(hold);
      } catch (error) {
        first.reject(error);
        if (!isAnnounced && (await isRejected(first.promise))) return;
      }
      await pause(LOOK_MS / 10, signal);
    }
  }
}

async function isRejected(promise: Promise<void>): Promise<boolean> {
  return await promise.then(
    () => false,
    () => true,
  );
}
