/** The metadata of a registry on PostgreSQL: its schema, its connections, and what goes on in the background. */
import { postgresAddress } from "../../lib/postgres-address.ts";
import type { Holders } from "../holders.ts";
import { POSTGRES_MIGRATIONS } from "../migrations/migrations.ts";
import type { PostgresSettings } from "../postgres-settings.ts";
import { PostgresEngine } from "./postgres-engine.ts";
import { foldUsage } from "./usage-folding.ts";

const CONNECT_TIMEOUT_MS = 5000;
const ACQUIRE_TIMEOUT_MS = 10_000;

/** How long a request waits for a server that is away, or for other transactions, before it is answered with 503. */
const RETRY_LIMIT_MS = 10_000;

const FOLD_INTERVAL_MS = 1000;

/** Opens the database and brings its schema up to date. `holders` knows which holders run; leases alone decide when absent. */
export async function openPostgres(settings: PostgresSettings, holders?: Holders): Promise<PostgresEngine> {
  const { url, environment, passwordFile, connections = 10, timeoutMs = 20_000, preparedStatements = true } = settings;
  const engine = await PostgresEngine.open(postgresAddress(url, environment, passwordFile), {
    migrations: POSTGRES_MIGRATIONS,
    holders,
    connections,
    preparedStatements,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    acquireTimeoutMs: ACQUIRE_TIMEOUT_MS,
    statementTimeoutMs: timeoutMs,
    retryLimitMs: RETRY_LIMIT_MS,
  });
  engine.repeat(FOLD_INTERVAL_MS, () => foldUsage(engine));
  return engine;
}
