/** Plays a script as an open loop: each step when it is due, whatever has become of those before. */
import { createHash } from "node:crypto";
import type { Connection } from "../loads/connection.ts";
import { pushBlob } from "../loads/pusher.ts";
import { ConnectionPool } from "./connection-pool.ts";
import type { Ask, Step } from "./script.ts";
import type { Op } from "./trace.ts";

export interface PlayOptions {
  readonly port: number;
  /** How many times as fast as the trace. */
  readonly speed: number;
}

/** What came of a step. */
export interface Played {
  readonly op: Op;
  /** From when it was due to its end. What waits for a push is due when that is done, if this is later. */
  readonly latencyMs: number;
  /** From when it was due until the player came to it. */
  readonly lateMs: number;
  /** Why it failed. */
  readonly error: string | undefined;
}

export interface Playing {
  readonly played: readonly Played[];
  readonly seconds: number;
  /** Bodies that were compared with what they should be. */
  readonly verified: number;
  /** Whether so much was unanswered that there was no sense in going on. */
  readonly isBrokenOff: boolean;
}

/** With a hundredth of a second for each, ten thousand a second would have a hundred open. */
const MOST_UNANSWERED = 1000;

const DRAIN_TIMEOUT_MS = 10_000;

/** Before the first step is due. */
const LEAD_MS = 20;

/** After so many steps that were all due answers are read. */
const BURST = 64;

export async function play(script: readonly Step[], { port, speed }: PlayOptions): Promise<Playing> {
  using stack = new DisposableStack();
  const pools = new Map<string, ConnectionPool>();
  for (const client of new Set(script.map((step) => step.client))) {
    pools.set(client, stack.use(await ConnectionPool.open(port)));
  }
  return await new Player(speed, pools).play(script);
}

class Player {
  readonly #speed: number;
  readonly #pools: ReadonlyMap<string, ConnectionPool>;
  readonly #played: Played[] = [];
  /** Whether each step was a success, for those that need it. */
  readonly #running: Promise<boolean>[] = [];
  #started = 0;
  #unanswered = 0;
  #verified = 0;

  constructor(speed: number, pools: ReadonlyMap<string, ConnectionPool>) {
    this.#speed = speed;
    this.#pools = pools;
  }

  async play(steps: readonly Step[]): Promise<Playing> {
    this.#started = performance.now() + LEAD_MS;
    for (let next = 0; next < steps.length && this.#unanswered <= MOST_UNANSWERED;) {
      const waitMs = this.#dueAt(steps[next]!) - performance.now();
      if (waitMs > 0) await Bun.sleep(Math.ceil(waitMs));
      else this.#running.push(this.#perform(steps[next++]!));
      if (waitMs <= 0 && next % BURST === 0) await new Promise(setImmediate);
    }
    const isComplete = this.#running.length === steps.length && (await this.#drain());
    return {
      played: this.#played.slice(),
      seconds: (performance.now() - this.#started) / 1000,
      verified: this.#verified,
      isBrokenOff: !isComplete,
    };
  }

  /** False when not all was answered in time. */
  async #drain(): Promise<boolean> {
    const { promise: timeout, resolve } = Promise.withResolvers<boolean>();
    const timer = setTimeout(() => resolve(false), DRAIN_TIMEOUT_MS);
    const all = Promise.all(this.#running).then(() => true);
    try {
      return await Promise.race([all, timeout]);
    } finally {
      clearTimeout(timer);
    }
  }

  #dueAt({ atMs }: Step): number {
    return this.#started + atMs / this.#speed;
  }

  async #perform(step: Step): Promise<boolean> {
    let due = this.#dueAt(step);
    const lateMs = performance.now() - due;
    this.#unanswered++;
    let error: string | undefined;
    try {
      if (step.needs.length > 0) {
        const needed = await Promise.all(step.needs.map((number) => this.#running[number]));
        if (needed.includes(false)) throw new Error("what it needs could not be pushed");
        due = Math.max(due, performance.now());
      }
      await this.#work(step);
    } catch (failure) {
      error = (failure as Error).message;
    }
    this.#unanswered--;
    this.#played.push({ op: step.op, latencyMs: performance.now() - due, lateMs, error });
    return error === undefined;
  }

  async #work({ client, work }: Step): Promise<void> {
    const pool = this.#pools.get(client)!;
    const connection = await pool.take();
    try {
      if (work.kind === "upload") await pushBlob(connection, work.repository, work.body(), "PATCH");
      else await this.#ask(connection, work);
    } finally {
      pool.give(connection);
    }
  }

  async #ask(connection: Connection, { method, target, headers, body, accepted, digest }: Ask): Promise<void> {
    const hash = digest === undefined ? undefined : createHash("sha256");
    const onBody = hash && ((bytes: Buffer) => void hash.update(bytes));
    const { status } = await connection.exchange(method, target, { body, headers, onBody });
    if (!accepted.includes(status)) throw new Error(`${method} was answered with ${status}`);
    if (!hash) return;
    this.#verified++;
    if (`sha256:${hash.digest("hex")}` !== digest) throw new Error(`${method} was answered with the wrong bytes`);
  }
}
