/** The clock as a parameter: nothing else in the program reads the system's time. */

export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Milliseconds since some moment, which go on whatever is done to the clock; those of the process when absent. */
  steady?(): number;
  /**
   * Calls `work` again and again until what it returns is disposed of; keeps no process running. A clock without it, as
   * tests have, repeats nothing by itself.
   */
  every?(milliseconds: number, work: () => Promise<void>): Disposable;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  every(milliseconds, work) {
    const timer = setInterval(() => void work(), milliseconds);
    timer.unref();
    return { [Symbol.dispose]: () => clearInterval(timer) };
  },
};
