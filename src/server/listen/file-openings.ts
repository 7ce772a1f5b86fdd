/**
 * Files that the runtime is about to open for a response. It does so after the response was handed to it, in the same turn of
 * the event loop, and tells of a failure by the path alone: so the access log waits for the end of the turn.
 */
export class FileOpenings {
  #waiting: Opening[] = [];

  /** `settle` is called once: with undefined at the end of this turn, or with the status that is answered instead. */
  add(path: string, settle: (failed: number | undefined) => void): void {
    if (this.#waiting.length === 0) setImmediate(() => this.#settleAll());
    this.#waiting.push({ path, settle });
  }

  /** The file could not be opened: `status` is answered to the request that was first to want it. */
  fail(path: string | undefined, status: number): void {
    const at = this.#waiting.findIndex((opening) => opening.path === path);
    if (at >= 0) this.#waiting.splice(at, 1)[0]?.settle(status);
  }

  #settleAll(): void {
    const opened = this.#waiting;
    this.#waiting = [];
    for (const opening of opened) opening.settle(undefined);
  }
}

interface Opening {
  readonly path: string;
  settle(failed: number | undefined): void;
}
