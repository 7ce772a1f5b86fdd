/** Worker processes that serve clients on one port: started together, replaced when they exit, stopped together. */
import type { Subprocess } from "bun";
import type { Settings } from "../config/schema.ts";
import { pause } from "../lib/pause.ts";
import type { Logger } from "../observe/logger.ts";
import type { Logs } from "../observe/logs.ts";
import type { Samples } from "../observe/metrics.ts";
import { LIMITS } from "../server/http/limits.ts";
import type { Address, Listening } from "../server/listen/listen.ts";
import { empty } from "../server/http/reply.ts";
import { CommandError } from "./command-error.ts";
import { listenForClients } from "./listen-for-clients.ts";
import { AllWorkerCounts } from "./worker-counts.ts";
import type { ParentMessage, WorkerMessage } from "./worker-messages.ts";

/** What a worker reads from its standard input. It never reads settings itself: those of a later start may be others. */
export interface WorkerConfig {
  readonly settings: Settings;
  readonly address: Address;
  /** Whether it begins with a drain. */
  readonly isDraining: boolean;
}

/** Between the death of a worker and the start of the next; it doubles while they live shortly. */
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 10_000;

/** A worker that lived longer than this did not die of its start. */
const SHORT_LIFE_MS = 10_000;

/** Longer than a worker needs that lets its requests finish: one that is still there does not listen to signals. */
const STOP_RESERVE_MS = 5000;

/** So many in a row that die before they listen are enough. */
const TRIES = 5;

/** How this program is started: by its runtime, or as an executable that has the runtime in it. */
const THIS_PROGRAM: readonly string[] = Bun.isStandaloneExecutable
  ? [process.execPath]
  : [process.execPath, ...process.execArgv, ...process.argv.slice(1, 2)];

/** Starts workers; resolves when all of them listen. */
export async function startWorkers(count: number, settings: Settings, logs: Logs): Promise<Workers> {
  const { url, address } = await findFree(settings, logs);
  const workers = new Workers(count, { settings, address }, url, logs.log);
  const failure = await Promise.race([workers.started, workers.failed]);
  if (!failure) return workers;
  await workers.stop();
  throw failure;
}

/**
 * An address that is taken must stay an error, and among processes that share their port it is none: so it is first taken
 * without sharing. That also finds the port for port 0, and what is wrong with a certificate.
 */
async function findFree(settings: Settings, logs: Logs): Promise<Listening> {
  const alone = await listenForClients(settings, () => empty(503), logs);
  await alone.stop();
  return alone;
}

/** They belong to this process: when it exits they are killed, and when it dies they stop by themselves. */
export class Workers implements Listening {
  readonly url: string;
  readonly address: Address;
  /** Resolves when all of them have listened. */
  readonly started: Promise<undefined>;
  /** Resolves when no worker can be started. */
  readonly failed: Promise<Error>;
  #config: Omit<WorkerConfig, "isDraining">;
  readonly #log: Logger;
  readonly #running = new Set<Subprocess>();
  readonly #listening = new Set<Subprocess>();
  readonly #counts = new AllWorkerCounts<Subprocess>((worker) => tell(worker, { kind: "count" }));
  readonly #stopping = new AbortController();
  readonly #slots: readonly Promise<void>[];
  #isUp = false;
  #isDraining = false;

  constructor(count: number, config: Omit<WorkerConfig, "isDraining">, url: string, log: Logger) {
    this.url = url;
    this.address = config.address;
    this.#config = config;
    this.#log = log;
    const started = Promise.withResolvers<undefined>();
    const failed = Promise.withResolvers<Error>();
    this.started = started.promise;
    this.failed = failed.promise;
    const onListening = (): void => {
      if (this.#listening.size < count) return;
      this.#isUp = true;
      started.resolve(undefined);
    };
    this.#slots = Array.from({ length: count }, () => this.#supervise(onListening));
    Promise.all(this.#slots).catch(failed.resolve);
    process.on("exit", () => this.#kill());
  }

  /** Puts other settings in force in all workers, and in those that replace them. */
  reconfigure(settings: Settings): void {
    this.#config = { ...this.#config, settings };
    for (const worker of this.#running) tell(worker, { kind: "settings", settings });
  }

  /** Tells all to stop and resolves when they have: what did not finish in time is in their own logs. */
  async stop(): Promise<number> {
    this.#stopping.abort();
    for (const worker of this.#running) worker.kill("SIGTERM");
    const stopMs = this.#config.settings.http.draintimeout ?? LIMITS.stopMs;
    const killing = setTimeout(() => this.#kill(), stopMs + STOP_RESERVE_MS);
    await Promise.allSettled(this.#slots);
    clearTimeout(killing);
    return 0;
  }

  /** What they have counted until now, those that have ended too. */
  counted(): Promise<readonly (readonly Samples[])[]> {
    return this.#counts.read();
  }

  /** Has all of them drain, or no longer; those that are started later too. */
  drain(isDraining: boolean): void {
    this.#isDraining = isDraining;
    for (const worker of this.#listening) tell(worker, { kind: "drain", isDraining });
  }

  /** Ends all at once, whatever they do. */
  #kill(): void {
    this.#stopping.abort();
    for (const worker of this.#running) worker.kill("SIGKILL");
  }

  /** Keeps one worker running until `stop`. */
  async #supervise(onListening: () => void): Promise<void> {
    const { signal } = this.#stopping;
    for (let shortLives = 0; ;) {
      const started = performance.now();
      const { listened, ...end } = await this.#runOne(onListening);
      if (signal.aborted) return;
      shortLives = performance.now() - started < SHORT_LIFE_MS ? shortLives + 1 : 1;
      const isNeeded = !this.#isUp || this.#listening.size === 0;
      if (!listened && shortLives >= TRIES && isNeeded) {
        throw new CommandError(
          `workers exited before they listened, ${TRIES} times in a row: see the log lines above, or set workers to 1`,
        );
      }
      const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** (shortLives - 1), LONGEST_PAUSE_MS);
      this.#log.error({ ...end, pauseMs }, "a worker exited: it is restarted after pauseMs");
      await pause(pauseMs, signal);
      if (signal.aborted) return;
    }
  }

  /** Runs a worker to its end and tells what that was like. */
  async #runOne(onListening: () => void) {
    let listened = false;
    const config: WorkerConfig = { ...this.#config, isDraining: this.#isDraining };
    const worker = Bun.spawn([...THIS_PROGRAM, "worker"], {
      stdin: Buffer.from(JSON.stringify(config)),
      stdout: "inherit",
      stderr: "inherit",
      ipc: (message: WorkerMessage) => {
        if (message.kind === "counted") return this.#counts.told(worker, message.samples);
        listened = true;
        if (this.#isDraining !== config.isDraining) tell(worker, { kind: "drain", isDraining: this.#isDraining });
        this.#listening.add(worker);
        onListening();
      },
    });
    this.#running.add(worker);
    this.#counts.begun(worker);
    await worker.exited;
    this.#running.delete(worker);
    this.#counts.ended(worker);
    this.#listening.delete(worker);
    return { listened, pid: worker.pid, exitCode: worker.exitCode, signal: worker.signalCode };
  }
}

/** Says nothing to a worker that has ended. */
function tell(worker: Subprocess, message: ParentMessage): void {
  try {
    worker.send(message);
  } catch {
    // It ends, and what it counted last is known.
  }
}
