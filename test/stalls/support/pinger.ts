/** Asks a server for something small again and again, from a process of its own, and knows how long it waited. */
import { join } from "node:path";

/** How long answers took since the pinger began, or was last asked. */
export interface Waits {
  readonly count: number;
  /** Milliseconds. */
  readonly longestMs: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly medianMs: number;
  /** Answers that were no success. */
  readonly failures: number;
}

export interface PingerOptions {
  /** What is asked for in turn; `/healthz` alone when absent. */
  readonly paths?: readonly string[];
  /** Milliseconds between an answer and the next request; 2 when absent. */
  readonly pauseMs?: number;
}

export class Pinger implements AsyncDisposable {
  readonly #process: Bun.Subprocess;
  #answer: ((waits: Waits) => void) | undefined;

  private constructor(url: string, { paths = ["/healthz"], pauseMs = 2 }: PingerOptions) {
    const words = [process.execPath, join(import.meta.dir, "pinger-process.ts"), url, String(pauseMs), ...paths];
    this.#process = Bun.spawn(words, {
      stdio: ["ignore", "inherit", "inherit"],
      ipc: (waits: Waits) => this.#answer?.(waits),
    });
  }

  /** Begins to ask the server at `url`; resolves when it has answered. */
  static async start(url: string, options: PingerOptions = {}): Promise<Pinger> {
    const pinger = new Pinger(url, options);
    while ((await pinger.waits()).count === 0) await Bun.sleep(5);
    return pinger;
  }

  /** How long answers took since this was last asked; a request without its answer counts with its time so far. */
  async waits(): Promise<Waits> {
    const { promise, resolve, reject } = Promise.withResolvers<Waits>();
    this.#answer = resolve;
    void this.#process.exited.then(() => reject(new Error("the pinger has ended")));
    this.#process.send("report");
    return await promise;
  }

  /** How long answers took while `work` ran. */
  async during(work: () => Promise<unknown>): Promise<Waits> {
    await this.waits();
    await work();
    return await this.waits();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.exited;
  }
}
