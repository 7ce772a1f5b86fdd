/** The clock of a server, as far as its answers tell. */
import type { Clock } from "../../lib/clock.ts";

/**
 * Says what time it is on the server: never later than it is there, and earlier by no more than an answer took. The clock of
 * this machine does not matter, only how fast it runs.
 */
export class ServerClock implements Clock {
  readonly #steady: () => number;
  /** The server's time less the steady one. */
  #offset: number | undefined;

  constructor(steady: () => number = () => performance.now()) {
    this.#steady = steady;
  }

  now(): number {
    if (this.#offset === undefined) throw new Error("the server has not said what time it is");
    return Math.floor(this.#steady() + this.#offset);
  }

  /** The steady time, for `learn`. */
  steady(): number {
    return this.#steady();
  }

  every(milliseconds: number, work: () => Promise<void>): Disposable {
    const timer = setInterval(() => void work(), milliseconds);
    timer.unref();
    return { [Symbol.dispose]: () => clearInterval(timer) };
  }

  /** The server said that it was `time`, at some moment between `asked` and now. */
  learn(time: number, asked: number): void {
    const least = time - this.#steady();
    const most = time - asked;
    const isPossible = this.#offset !== undefined && this.#offset >= least && this.#offset <= most;
    if (!isPossible) this.#offset = least;
  }
}
