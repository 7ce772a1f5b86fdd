/** Replicas of one registry: processes of the real program on one PostgreSQL, which are killed, frozen and started again. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { startProcess } from "../../support/server-process.ts";
import type { ServerProcess } from "../../support/server-process.ts";
import { freePorts } from "../../support/free-ports.ts";
import { FaultProxy } from "../../postgres/support/fault-proxy.ts";
import { RoundRobin } from "./round-robin.ts";

const FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

export interface ReplicasOptions {
  /** Where configurations, and blobs that are files, lie. */
  readonly folder: string;
  readonly databaseUrl: string;
  /** The port of PostgreSQL. */
  readonly databasePort: number;
  /** Settings that all have, such as those of the bucket. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** How far the clock of each is off, such as `+2h`. */
  readonly clocks?: readonly (string | undefined)[];
  readonly count?: number;
}

/** Disposing it kills all that run. */
export class Replicas implements AsyncDisposable {
  readonly all: readonly Replica[];
  readonly proxy: RoundRobin;

  private constructor(all: readonly Replica[], proxy: RoundRobin) {
    this.all = all;
    this.proxy = proxy;
  }

  static async start(options: ReplicasOptions): Promise<Replicas> {
    const { count = 3, clocks = [] } = options;
    const ports = await freePorts(count);
    const all = await Promise.all(ports.map((port, at) => Replica.prepare(options, { at, port, clock: clocks[at] })));
    const proxy = await RoundRobin.open(all.map(({ url }) => url));
    const replicas = new Replicas(all, proxy);
    try {
      await Promise.all(all.map((replica) => replica.start()));
    } catch (error) {
      await replicas[Symbol.asyncDispose]();
      throw error;
    }
    return replicas;
  }

  /** The address that clients know. */
  get url(): string {
    return this.proxy.url;
  }

  /** The configuration of the first, for commands beside them. */
  get config(): string {
    return this.all[0]?.config ?? "";
  }

  /** Kills one at this moment; the proxy notices it a little later. */
  async kill(replica: Replica): Promise<void> {
    await replica.kill();
    this.proxy.down.add(replica.at);
  }

  async startAgain(replica: Replica): Promise<void> {
    await replica.start();
    this.proxy.down.delete(replica.at);
  }

  /** What they said of errors of their own. */
  errors(): readonly string[] {
    return this.all.flatMap((replica) => replica.errors());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.all.map((replica) => replica[Symbol.asyncDispose]()));
    await this.proxy[Symbol.asyncDispose]();
  }
}

export class Replica implements AsyncDisposable {
  readonly at: number;
  readonly url: string;
  readonly config: string;
  /** Between it and PostgreSQL. */
  readonly database: FaultProxy;
  readonly #folder: string;
  readonly #clock: string | undefined;
  readonly #given: Readonly<Record<string, unknown>>;
  #process: ServerProcess | undefined;
  readonly #output: string[] = [];

  private constructor(parts: {
    at: number;
    port: number;
    config: string;
    folder: string;
    database: FaultProxy;
    clock: string | undefined;
    given: Readonly<Record<string, unknown>>;
  }) {
    this.at = parts.at;
    this.url = `http://127.0.0.1:${parts.port}`;
    this.config = parts.config;
    this.database = parts.database;
    this.#folder = parts.folder;
    this.#clock = parts.clock;
    this.#given = parts.given;
  }

  static async prepare(
    { folder, databaseUrl, databasePort, settings = {} }: ReplicasOptions,
    { at, port, clock }: { readonly at: number; readonly port: number; readonly clock: string | undefined },
  ): Promise<Replica> {
    const database = await FaultProxy.open(databasePort);
    const blobs = join(folder, "blobs");
    await mkdir(blobs, { recursive: true });
    const config = join(folder, `replica-${at}.yml`);
    const { storage = {}, ...more } = settings as { readonly storage?: object };
    const given = {
      log: { level: "info" },
      database: { url: database.url(databaseUrl) },
      storage: { filesystem: { rootdirectory: blobs }, ...storage },
      gc: { interval: "1s" },
      ...more,
    };
    const replica = new Replica({ at, port, config, folder: blobs, database, clock, given });
    await replica.configure({});
    return replica;
  }

  /** Gives it other settings, for its next start. */
  async configure(more: Readonly<Record<string, unknown>>): Promise<void> {
    await writeFile(this.config, JSON.stringify({ ...this.#given, ...more }));
  }

  async start(): Promise<void> {
    const time = this.#clock === undefined ? {} : fakeTime(this.#clock);
    const env = { REGISTRY_HTTP_ADDR: new URL(this.url).host, ...time };
    const started = await startProcess({ dataDir: this.#folder, words: ["serve", this.config], env });
    this.#process = started;
    await started.printed(/Listening on [^\s"]+["\n]/);
  }

  signal(name: "SIGSTOP" | "SIGCONT"): void {
    this.#process?.signal(name);
  }

  async kill(): Promise<void> {
    const [killed] = [this.#process];
    this.#process = undefined;
    if (!killed) return;
    await killed[Symbol.asyncDispose]();
    this.#output.push(killed.output());
  }

  /** All that it has printed, before and after it was killed. */
  output(): string {
    return [...this.#output, this.#process?.output() ?? ""].join("\n");
  }

  /** How many blobs it said that it has collected. */
  collected(): number {
    const reports = this.output().matchAll(/"blobs":(\d+).*"msg":"garbage collection: deleted"/g);
    return [...reports].reduce((sum, [, blobs]) => sum + Number(blobs), 0);
  }

  errors(): readonly string[] {
    return this.output()
      .split("\n")
      .filter((line) => /"level":"?(?:50|60|error|fatal)/.test(line))
      .map((line) => `replica ${this.at}: ${line}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await this.database[Symbol.asyncDispose]();
  }
}

/** The clock that people use is off; the one that never jumps, and the times of files, are not. */
function fakeTime(offset: string): Readonly<Record<string, string>> {
  return { LD_PRELOAD: FAKETIME, FAKETIME: offset, FAKETIME_DONT_FAKE_MONOTONIC: "1", NO_FAKE_STAT: "1" };
}
