/** The steps by which a database got its present shape: numbered, forward only. */
import sqlite0001 from "./sqlite/0001_registry.sql" with { type: "text" };
import sqlite0002 from "./sqlite/0002_collection.sql" with { type: "text" };
import sqlite0003 from "./sqlite/0003_signing_keys.sql" with { type: "text" };
import sqlite0004 from "./sqlite/0004_accounts.sql" with { type: "text" };
import sqlite0005 from "./sqlite/0005_quotas.sql" with { type: "text" };
import sqlite0006 from "./sqlite/0006_upload_holders.sql" with { type: "text" };
import sqlite0007 from "./sqlite/0007_last_runs.sql" with { type: "text" };
import sqlite0008 from "./sqlite/0008_usage.sql" with { type: "text" };
import sqlite0009 from "./sqlite/0009_upload_status.sql" with { type: "text" };
import sqlite0010 from "./sqlite/0010_secrets.sql" with { type: "text" };
import sqlite0011 from "./sqlite/0011_upload_bounds.sql" with { type: "text" };
import sqlite0012 from "./sqlite/0012_operations.sql" with { type: "text" };
import sqlite0013 from "./sqlite/0013_revisions.sql" with { type: "text" };
import sqlite0014 from "./sqlite/0014_dead_columns.sql" with { type: "text" };
import sqlite0015 from "./sqlite/0015_changes.sql" with { type: "text" };
import sqlite0016 from "./sqlite/0016_quota_counting.sql" with { type: "text" };
import sqlite0017 from "./sqlite/0017_referrer_types.sql" with { type: "text" };
import sqlite0018 from "./sqlite/0018_jobs.sql" with { type: "text" };
import sqlite0019 from "./sqlite/0019_removed_tags.sql" with { type: "text" };
import sqlite0020 from "./sqlite/0020_part_states.sql" with { type: "text" };

/** The statements that make each version out of the one before; the first makes version 1 out of nothing. */
export const SQLITE_MIGRATIONS: readonly string[] = [
  sqlite0001,
  sqlite0002,
  sqlite0003,
  sqlite0004,
  sqlite0005,
  sqlite0006,
  sqlite0007,
  sqlite0008,
  sqlite0009,
  sqlite0010,
  sqlite0011,
  sqlite0012,
  sqlite0013,
  sqlite0014,
  sqlite0015,
  sqlite0016,
  sqlite0017,
  sqlite0018,
  sqlite0019,
  sqlite0020,
];

/** A database that this program cannot use: a person has to do something first. */
export class SchemaError extends Error {
  override readonly name = "SchemaError";
}

/** The steps that a database of version `found` still needs. Refused when it is of a newer program. */
export function pendingMigrations(found: number, migrations: readonly string[]): readonly string[] {
  if (found > migrations.length) {
    throw new SchemaError(
      `the database has schema version ${found}, and this program knows versions up to ${migrations.length}: ` +
        "start the newer Stowage that wrote it, or restore a backup that is older",
    );
  }
  return migrations.slice(found);
}
