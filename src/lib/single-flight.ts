/** Concurrent calls for the same thing share one piece of work. */

/** Runs at most one piece of work per key at a time. No result is cached once the work has ended. */
export class SingleFlight<Key, Result> {
  readonly #running = new Map<Key, Promise<Result>>();

  /** How many keys have work under way. */
  get size(): number {
    return this.#running.size;
  }

  /** Whether a call of `run` with this key would join work that is under way. */
  has(key: Key): boolean {
    return this.#running.has(key);
  }

  /** Returns the outcome of the work under way for `key`, and starts `work` when there is none. */
  run(key: Key, work: () => Promise<Result>): Promise<Result> {
    const running = this.#running.get(key);
    if (running) return running;
    const started = work().finally(() => this.#running.delete(key));
    this.#running.set(key, started);
    return started;
  }
}
