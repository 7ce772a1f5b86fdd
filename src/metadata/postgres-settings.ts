/** How to open a database on PostgreSQL. */

export interface PostgresSettings {
  /** `postgres://user:password@host:5432/database`; what it leaves out is in `environment`. */
  readonly url: string;
  /** Variables of libpq (`PGHOST`, `PGPASSWORD` …); none when absent. */
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined;
  /** A file with the password, which is read for each connection. */
  readonly passwordFile?: string | undefined;
  /** Of this process, at most; 10 when absent. */
  readonly connections?: number | undefined;
  /** How long a statement may take before its connection is closed, in milliseconds; 20 seconds when absent. */
  readonly timeoutMs?: number | undefined;
  /** False behind a pool that lends connections for one transaction, as pgbouncer may; true when absent. */
  readonly preparedStatements?: boolean | undefined;
}
