/** What SQLite is asked. It is asked all the same: this only looks on. */
import { spyOn } from "bun:test";
import { Connection } from "../../../src/metadata/sqlite/connection.ts";

/** Looks at every connection of this process until it is disposed of. */
export class StatementLog implements Disposable {
  readonly #spy = spyOn(Connection.prototype, "run");

  /** The texts of all statements that ran while `work` did, in their order. */
  async during(work: () => Promise<unknown>): Promise<readonly string[]> {
    this.#spy.mockClear();
    await work();
    return this.#spy.mock.calls.map(([{ text }]) => text);
  }

  [Symbol.dispose](): void {
    this.#spy.mockRestore();
  }
}
