/** The servers of the crash test: some number of them on one data folder, each on a port of its own. */
import { expect } from "bun:test";
import { startGroup, startServerGroup } from "../../support/program.ts";
import type { ServerGroup } from "../../support/program.ts";
import type { Random } from "../../support/random.ts";
import type { Target } from "./pusher.ts";

/** Trash is emptied as often as may be; all else waits for its hour. */
const SETTINGS = { REGISTRY_GC_INTERVAL: "1s", REGISTRY_LOG_LEVEL: "warn" };

/** A line of the log that says that something failed. */
const FAULT = /"level":"?(?:50|60|error|fatal)/;

/** Disposing them kills those that run, and looks at nothing: what went wrong is being reported then. */
export class Servers implements AsyncDisposable {
  readonly dataDir: string;
  readonly #count: number;
  #running: readonly Server[] = [];

  constructor(dataDir: string, count: number) {
    this.dataDir = dataDir;
    this.#count = count;
  }

  /** Those that have not been killed. */
  get running(): readonly Server[] {
    return this.#running.filter((server) => !server.isKilled());
  }

  /** Starts as many as are missing; sometimes one is killed before that while it starts. */
  async startMissing(random: Random): Promise<void> {
    if (random.chance(0.15)) {
      const unlucky = startGroup(this.dataDir, ["serve"], { ...SETTINGS, REGISTRY_HTTP_ADDR: "127.0.0.1:0" });
      await Bun.sleep(random.next() * 300);
      await unlucky.kill();
    }
    const missing = Array.from({ length: this.#count - this.running.length }, () =>
      startServerGroup(this.dataDir, SETTINGS),
    );
    this.#running = [...this.running, ...(await Promise.all(missing)).map((group) => new Server(group))];
  }

  /** One of those that run. */
  any(random: Random): Server {
    const server = random.pick(this.running);
    if (!server) throw new Error("no server runs");
    return server;
  }

  /** Kills them all. */
  async kill(): Promise<void> {
    await Promise.all(this.running.map((server) => server.kill()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.running.map((server) => server[Symbol.asyncDispose]()));
  }
}

export class Server implements Target, AsyncDisposable {
  readonly #group: ServerGroup;
  #isKilled = false;

  constructor(group: ServerGroup) {
    this.#group = group;
  }

  get url(): string {
    return this.#group.url;
  }

  isKilled(): boolean {
    return this.#isKilled;
  }

  /** Kills it with all that belongs to it; it must have logged no fault. */
  async kill(): Promise<void> {
    await this[Symbol.asyncDispose]();
    expect(this.#group.output()).not.toMatch(FAULT);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isKilled = true;
    await this.#group.kill();
  }
}
