/** Drives transactions step by step: a statement is held on its way to PostgreSQL, with all behind it, until a test lets it go. */
import { spyOn } from "bun:test";
import { setTimeout as sleep } from "node:timers/promises";
import { PooledConnection } from "../../../src/metadata/postgres/connection-pool.ts";
import type { PostgresServer } from "./postgres-server.ts";

type Flight = Parameters<PooledConnection["send"]>[0];
type Sent = ReturnType<PooledConnection["send"]>;

/** A statement that is held. */
export interface HeldStatement {
  /** Resolves once a transaction has come to it, and all before it is done. */
  readonly reached: Promise<void>;
  /** Lets it go. */
  go(): void;
}

interface Hold {
  readonly pattern: RegExp;
  readonly reached: PromiseWithResolvers<void>;
  readonly released: PromiseWithResolvers<void>;
}

/** The statements of all engines of this process, until it is disposed of, which lets everything go. */
export class Lockstep implements Disposable {
  readonly #holds: Hold[] = [];
  readonly #all: Hold[] = [];
  readonly #spy;

  constructor() {
    const { send } = PooledConnection.prototype as { send: (this: PooledConnection, flight: Flight) => Sent };
    const holds = this.#holds;
    this.#spy = spyOn(PooledConnection.prototype, "send").mockImplementation(async function (
      this: PooledConnection,
      flight,
    ) {
      for (const [at, hold] of holds.entries()) {
        const first = flight.findIndex(({ text }) => hold.pattern.test(text));
        if (first < 0) continue;
        holds.splice(at, 1);
        const before = first === 0 ? [] : await send.call(this, flight.slice(0, first));
        hold.reached.resolve();
        await hold.released.promise;
        return [...before, ...(await send.call(this, flight.slice(first)))];
      }
      return await send.call(this, flight);
    });
  }

  /** Holds the next statement that matches. */
  hold(pattern: RegExp): HeldStatement {
    const hold = { pattern, reached: Promise.withResolvers<void>(), released: Promise.withResolvers<void>() };
    this.#holds.push(hold);
    this.#all.push(hold);
    return { reached: hold.reached.promise, go: () => hold.released.resolve() };
  }

  /** Does work up to its commit, and holds that. */
  async upToCommit<Result>(work: () => Promise<Result>): Promise<{ commit(): Promise<Result> }> {
    const held = this.hold(/^commit$/); // of any transaction: those in the background must not run meanwhile
    const done = work();
    await Promise.race([held.reached, done]);
    return {
      commit: async () => {
        held.go();
        return await done;
      },
    };
  }

  [Symbol.dispose](): void {
    for (const { released } of this.#all) released.resolve();
    this.#spy.mockRestore();
  }
}

/** Resolves once so many transactions of a database wait for the locks of others. */
export async function untilWaiting(server: PostgresServer, database: string, count = 1): Promise<void> {
  const waiting = `select count(*) as n from pg_stat_activity where datname = '${database}' and wait_event_type = 'Lock'`;
  while (Number((await server.query(waiting))[0]?.["n"]) < count) await sleep(10);
}
