/** Garbage collections that administrators start over HTTP: one at a time in a process, which goes on when the request is over. */
import type { Maintenance } from "../maintenance.ts";
import type { Logger } from "../../observe/logger.ts";
import type { CollectionProgress, CollectionReport } from "./collector.ts";

/** A collection that was started, with what it has done. */
export interface CollectionRun {
  readonly state: "running" | "done" | "failed";
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  readonly endedAt: number | undefined;
  readonly progress: CollectionProgress | undefined;
  readonly report: CollectionReport | undefined;
}

export class CollectionRuns implements Disposable {
  readonly #maintenance: Pick<Maintenance, "collect" | "recordRun">;
  readonly #now: () => number;
  readonly #log: Logger;
  readonly #ending = new AbortController();
  #last: CollectionRun | undefined;

  constructor(maintenance: Pick<Maintenance, "collect" | "recordRun">, now: () => number, log: Logger) {
    this.#maintenance = maintenance;
    this.#now = now;
    this.#log = log;
  }

  /** The last one that this process started; undefined when it started none. */
  get last(): CollectionRun | undefined {
    return this.#last;
  }

  /** Starts one, unless one runs. Returns it, and whether it was started by this. */
  start(): { readonly run: CollectionRun; readonly isNew: boolean } {
    if (this.#last?.state === "running") return { run: this.#last, isNew: false };
    const run: CollectionRun = {
      state: "running",
      startedAt: this.#now(),
      endedAt: undefined,
      progress: undefined,
      report: undefined,
    };
    this.#last = run;
    void this.#run(run);
    return { run, isNew: true };
  }

  async #run(run: CollectionRun): Promise<void> {
    const { signal } = this.#ending;
    try {
      const onStep = (progress: CollectionProgress): void => void (this.#last = { ...run, progress });
      const report = await this.#maintenance.collect({}, { signal, onStep });
      if (!signal.aborted) await this.#maintenance.recordRun("gc");
      this.#last = { ...run, state: "done", endedAt: this.#now(), report };
    } catch (error) {
      this.#last = { ...run, state: "failed", endedAt: this.#now() };
      if (!signal.aborted) this.#log.error({ err: error }, "a garbage collection that was started by the API failed");
    }
  }

  /** Ends the one that runs after its step. */
  [Symbol.dispose](): void {
    this.#ending.abort();
  }
}
