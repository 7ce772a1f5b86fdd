/**
 * The wire to PostgreSQL: what the engine needs of a driver, and no more. Two drivers implement it (`bun-wire.ts`,
 * `pg-wire.ts`); nothing else knows which one runs.
 */
import type { Row, Value } from "../sql.ts";

/** One message to the server. */
export interface WireStatement {
  readonly text: string;
  /** The values of `$1`, `$2` …; when absent, several statements may stand in the text, and the rows of the last one count. */
  readonly values?: readonly Value[];
}

/** What the server answered to a statement. */
export type Answer =
  | {
      readonly rows: readonly Row[];
      /** The server's word for what it did, such as `SELECT`, `COMMIT` or, after a failed statement, `ROLLBACK`. */
      readonly command: string;
    }
  | { readonly error: WireError };

/** A connection that one user has for itself, until it releases or closes it. */
export interface WireConnection {
  /**
   * Sends statements in one flight, without waiting in between, and resolves with an answer to each. Never rejects: a
   * connection that breaks answers with errors.
   */
  send(flight: readonly WireStatement[]): Promise<readonly Answer[]>;
  /** Gives the connection back; it must be in no transaction. */
  release(): void;
  /** Ends the connection; what is under way is answered by errors. */
  close(): void;
}

export interface Wire {
  /** Returns a connection, which may be a new one. Rejects with a `WireError` when the server cannot be reached. */
  acquire(): Promise<WireConnection>;
  /** Ends all connections. */
  close(): Promise<void>;
}

export interface WireOptions {
  /** How many connections there are at most. */
  readonly connections: number;
  readonly connectTimeoutMs: number;
  /** Whether statements are prepared once for each connection, under names: not behind a pool that lends connections. */
  readonly preparedStatements: boolean;
}

/** What TLS is made with, in PEM. */
export interface TlsFiles {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** What is wrong: what the server said, or that there is no server to say something. */
export class WireError extends Error {
  override readonly name = "WireError";
  /**
   * The server's five letters (SQLSTATE, https://www.postgresql.org/docs/current/errcodes-appendix.html), or `08006` when the
   * connection broke.
   */
  readonly code: string;

  constructor(message: string, code: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

/** SQLSTATE of a connection that broke, or could not be made. */
export const CONNECTION_FAILURE = "08006";

/**
 * SQLSTATEs after which the same work may succeed: another transaction was in the way, or the server is elsewhere or starting.
 * 23505 and 23503 are among them, because what a statement saw may be gone when the next one runs.
 */
const TRANSIENT: ReadonlySet<string> = new Set([
  "40001", // serialization_failure
  "40P01", // deadlock_detected
  "23505", // unique_violation
  "23503", // foreign_key_violation
  "55P03", // lock_not_available
  "57014", // query_canceled: by the server's statement_timeout
  "57P01", // admin_shutdown
  "57P02", // crash_shutdown
  "57P03", // cannot_connect_now
  "57P05", // idle_session_timeout
  "25P03", // idle_in_transaction_session_timeout
  "25006", // read_only_sql_transaction: a standby, until the failover is over
  "53300", // too_many_connections
]);

/** Whether the same work may succeed when it is done again. */
export function isTransient(error: unknown): error is WireError {
  return error instanceof WireError && (TRANSIENT.has(error.code) || error.code.startsWith("08"));
}

/** Whether a constraint refused a row. */
export function isConstraint(error: WireError): boolean {
  return error.code.startsWith("23");
}

/** Whether the connection is gone: what was sent and not answered may have been done. */
export function hasLostConnection(error: WireError): boolean {
  return error.code.startsWith("08") || /^57P0[1-5]$/.test(error.code) || error.code === "25P03";
}

/** Returns the rows of an answer; throws the error that it is. */
export function rowsOf(answer: Answer | undefined): readonly Row[] {
  if (!answer) throw new Error("PostgreSQL gave no answer to a statement");
  if ("error" in answer) throw answer.error;
  return answer.rows;
}
