/** The connections of a process: how many there are, how long a caller waits for one, and for an answer on it. */
import { readFile } from "node:fs/promises";
import { BusyError } from "../../lib/busy-error.ts";
import type { PostgresAddress } from "../../lib/postgres-address.ts";
import { CONNECTION_FAILURE, WireError, hasLostConnection } from "./wire.ts";
import type { Answer, TlsFiles, Wire, WireConnection, WireOptions, WireStatement } from "./wire.ts";

export interface PoolOptions extends WireOptions {
  /** How long a statement may take before its connection is closed. */
  readonly statementTimeoutMs: number;
  /** How long a caller waits for a connection while all of them are in use. */
  readonly acquireTimeoutMs: number;
  /** `bun` on Bun with prepared statements, and else `pg`, when absent. */
  readonly driver?: "bun" | "pg" | undefined;
}

interface Waiter {
  go(): void;
}

export class ConnectionPool {
  readonly #wire: Wire;
  readonly #options: PoolOptions;
  readonly #waiting = new Set<Waiter>();
  #used = 0;

  constructor(wire: Wire, options: PoolOptions) {
    this.#wire = wire;
    this.#options = options;
  }

  /** Connects to nothing yet. Rejects when a file of the address cannot be read. */
  static async open(address: PostgresAddress, options: PoolOptions): Promise<ConnectionPool> {
    const tls = await tlsFiles(address);
    // Without prepared statements Bun's driver waits for each statement that has values.
    const isForBun = process.versions["bun"] !== undefined && options.preparedStatements;
    const driver = options.driver ?? (isForBun ? "bun" : "pg");
    if (driver === "bun") {
      const { openBunWire } = await import("./bun-wire.ts");
      return new ConnectionPool(openBunWire(address, tls, options), options);
    }
    const { openPgWire } = await import("./pg-wire.ts");
    return new ConnectionPool(openPgWire(address, tls, options), options);
  }

  /**
   * Lends a connection to `work` for as long as it runs. Rejects with `BusyError` when none becomes free in time, and with
   * `WireError` when the server cannot be reached.
   */
  async use<Result>(work: (connection: PooledConnection) => Promise<Result>): Promise<Result> {
    await this.#enter();
    try {
      const connection = new PooledConnection(await this.#wire.acquire(), this.#options.statementTimeoutMs);
      try {
        return await work(connection);
      } finally {
        connection.giveBack();
      }
    } finally {
      this.#leave();
    }
  }

  close(): Promise<void> {
    return this.#wire.close();
  }

  async #enter(): Promise<void> {
    if (this.#used < this.#options.connections && this.#waiting.size === 0) {
      this.#used++;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const { acquireTimeoutMs, connections } = this.#options;
      const timer = setTimeout(() => {
        this.#waiting.delete(waiter);
        reject(new BusyError(`all ${connections} connections to PostgreSQL were in use for ${acquireTimeoutMs} ms`));
      }, acquireTimeoutMs);
      const waiter: Waiter = {
        go: () => {
          clearTimeout(timer);
          resolve();
        },
      };
      this.#waiting.add(waiter);
    });
  }

  /** The place goes to the caller that has waited longest. */
  #leave(): void {
    const [next] = this.#waiting;
    if (!next) {
      this.#used--;
      return;
    }
    this.#waiting.delete(next);
    next.go();
  }
}

/** A connection on loan. One on which an answer is late is closed: what comes after it would be read as the answer to another. */
export class PooledConnection {
  readonly #wire: WireConnection;
  readonly #timeoutMs: number;
  /** Whether the connection may be in the middle of something, so that it cannot be used again. */
  #isSpoiled = false;

  constructor(wire: WireConnection, timeoutMs: number) {
    this.#wire = wire;
    this.#timeoutMs = timeoutMs;
  }

  /** As `WireConnection.send`, with the deadline. */
  async send(flight: readonly WireStatement[]): Promise<readonly Answer[]> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<readonly Answer[]>((resolve) => {
      timer = setTimeout(() => {
        this.spoil();
        const error = new WireError(`PostgreSQL did not answer for ${this.#timeoutMs} ms`, CONNECTION_FAILURE);
        resolve(flight.map(() => ({ error })));
      }, this.#timeoutMs);
    });
    try {
      const answers = await Promise.race([this.#wire.send(flight), late]);
      if (answers.some((answer) => "error" in answer && hasLostConnection(answer.error))) this.spoil();
      return answers;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Closes the connection; the server rolls back what was not committed. */
  spoil(): void {
    if (this.#isSpoiled) return;
    this.#isSpoiled = true;
    this.#wire.close();
  }

  giveBack(): void {
    if (!this.#isSpoiled) this.#wire.release();
  }
}

async function tlsFiles({ tls }: PostgresAddress): Promise<TlsFiles> {
  const [ca, cert, key] = [
    await contentOf(tls.rootCertificate),
    await contentOf(tls.certificate),
    await contentOf(tls.key),
  ];
  return { ...(ca ? { ca } : {}), ...(cert ? { cert } : {}), ...(key ? { key } : {}) };
}

async function contentOf(path: string | undefined): Promise<string | undefined> {
  return path === undefined ? undefined : await readFile(path, "utf8");
}
