/** What workers have counted, as the process that started them knows it: of those that run, and of those that have ended. */
import { setTimeout as sleep } from "node:timers/promises";
import { sumOfEnded } from "../observe/metrics.ts";
import type { Samples } from "../observe/metrics.ts";

/** Milliseconds for which a scrape waits for what workers say: one that hangs is counted with what it said last. */
const WAIT_MS = 1000;

/** Of one worker. */
interface WorkerCounts {
  latest: readonly Samples[];
  /** Called with each message of the worker, and when it ends. */
  onTold: (() => void) | undefined;
}

export class AllWorkerCounts<Worker> {
  readonly #ask: (worker: Worker) => void;
  readonly #running = new Map<Worker, WorkerCounts>();
  #ended: readonly Samples[] = [];
  /** Ends are added up one after the other. */
  #adding: Promise<void> = Promise.resolve();

  /** `ask` has a worker say what it has counted. */
  constructor(ask: (worker: Worker) => void) {
    this.#ask = ask;
  }

  begun(worker: Worker): void {
    this.#running.set(worker, { latest: [], onTold: undefined });
  }

  told(worker: Worker, samples: readonly Samples[]): void {
    const counts = this.#running.get(worker);
    if (!counts) return;
    counts.latest = samples;
    counts.onTold?.();
  }

  /** What it counted stays counted: a sum that shrinks would look like a restart of the server. */
  ended(worker: Worker): void {
    const counts = this.#running.get(worker);
    this.#running.delete(worker);
    counts?.onTold?.();
    if (!counts || counts.latest.length === 0) return;
    this.#adding = this.#add(this.#adding, counts.latest);
  }

  async #add(before: Promise<void>, samples: readonly Samples[]): Promise<void> {
    await before;
    this.#ended = await sumOfEnded([this.#ended, samples]);
  }

  /** What all of them have counted until now. */
  async read(): Promise<readonly (readonly Samples[])[]> {
    const asked = Array.from(this.#running, ([worker, counts]) => {
      const answer = new Promise<void>((resolve) => (counts.onTold = resolve));
      this.#ask(worker);
      return answer;
    });
    const waiting = new AbortController();
    const limit = sleep(WAIT_MS, undefined, { signal: waiting.signal, ref: false }).catch(() => undefined);
    await Promise.race([Promise.all(asked), limit]);
    waiting.abort();
    await this.#adding;
    return [this.#ended, ...Array.from(this.#running.values(), ({ latest }) => latest)];
  }
}
