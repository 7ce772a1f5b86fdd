/** The steps by which a database got its present shape: numbered, forward only. */
import postgres0001 from "./postgres/0001_registry.sql" with { type: "text" };
import postgres0002 from "./postgres/0002_events.sql" with { type: "text" };
import postgres0003 from "./postgres/0003_pushes.sql" with { type: "text" };
import postgres0004 from "./postgres/0004_event_numbers.sql" with { type: "text" };
import sqlite0020 from "./sqlite/0020_registry.sql" with { type: "text" };
import sqlite0020Triggers from "./sqlite/0020_usage.sql" with { type: "text" };
import sqlite0021 from "./sqlite/0021_adoption.sql" with { type: "text" };
import sqlite0022 from "./sqlite/0022_events.sql" with { type: "text" };
import sqlite0023 from "./sqlite/0023_pushes.sql" with { type: "text" };

/** The version that the first of the steps makes out of nothing. Older ones were never released. */
export const FIRST_VERSION = 20;

/** The tables of the first version, and what keeps their counts from then on. */
export const SQLITE_TABLES: string = sqlite0020;
export const SQLITE_TRIGGERS: string = sqlite0020Triggers;

/** The statements that make each version out of the one before. */
export const SQLITE_MIGRATIONS: readonly string[] = [
  `${SQLITE_TABLES}\n${SQLITE_TRIGGERS}`,
  sqlite0021,
  sqlite0022,
  sqlite0023,
];

/** The version after all steps. */
export const SCHEMA_VERSION: number = FIRST_VERSION + SQLITE_MIGRATIONS.length - 1;

/** A step of PostgreSQL from one version of the schema to the next. */
export interface PostgresMigration {
  readonly text: string;
  /**
   * The oldest version of the schema whose programs still work on the new one. A step that only adds leaves it as it was, so
   * that servers of both versions run beside each other while they are replaced; one that takes something away raises it.
   */
  readonly compatibleFrom: number;
}

/** As `SQLITE_MIGRATIONS`, of PostgreSQL, whose first version is 1. */
export const POSTGRES_MIGRATIONS: readonly PostgresMigration[] = [
  { text: postgres0001, compatibleFrom: 1 },
  { text: postgres0002, compatibleFrom: 2 },
  { text: postgres0003, compatibleFrom: 2 },
  { text: postgres0004, compatibleFrom: 2 },
];

/** A database that this program cannot use: a person has to do something first. */
export class SchemaError extends Error {
  override readonly name = "SchemaError";
}

/** The steps that a database of version `found` still needs. Refused when it is of a newer program, or of one that is too old. */
export function pendingMigrations(found: number, migrations: readonly string[]): readonly string[] {
  const last = FIRST_VERSION + migrations.length - 1;
  if (found > last) {
    throw new SchemaError(
      `the database has schema version ${found}, and this program knows versions up to ${last}: ` +
        "start the newer Stowage that wrote it, or restore a backup that is older",
    );
  }
  if (found > 0 && found < FIRST_VERSION) {
    throw new SchemaError(
      `the database has schema version ${found}, which no released Stowage wrote and this program cannot read: ` +
        "copy its images with the Stowage that wrote it",
    );
  }
  return migrations.slice(found === 0 ? 0 : found - FIRST_VERSION + 1);
}
