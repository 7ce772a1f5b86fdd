/** The connections of one client, kept for as long as they are open. There are as many as it has requests at once. */
import { Connection } from "../loads/connection.ts";

export class ConnectionPool implements Disposable {
  readonly #port: number;
  readonly #all = new Set<Connection>();
  readonly #idle: Connection[] = [];
  #isClosed = false;

  private constructor(port: number) {
    this.#port = port;
  }

  /** Opens a pool with one connection, so that the first request need not wait for it. */
  static async open(port: number): Promise<ConnectionPool> {
    const pool = new ConnectionPool(port);
    pool.give(await pool.take());
    return pool;
  }

  /** The one that was used last, or a new one where all are busy. */
  async take(): Promise<Connection> {
    for (let idle = this.#idle.pop(); idle; idle = this.#idle.pop()) {
      if (idle.isOpen) return idle;
      this.#all.delete(idle);
    }
    const connection = await Connection.open(this.#port);
    if (this.#isClosed) {
      connection[Symbol.dispose]();
      throw new Error("the pool was closed");
    }
    this.#all.add(connection);
    return connection;
  }

  /** After its last request was answered. */
  give(connection: Connection): void {
    if (connection.isOpen) this.#idle.push(connection);
    else this.#all.delete(connection);
  }

  /** Closes all, also those that are in use. */
  [Symbol.dispose](): void {
    this.#isClosed = true;
    for (const connection of this.#all) connection[Symbol.dispose]();
  }
}
