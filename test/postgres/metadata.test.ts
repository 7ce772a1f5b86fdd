/** The metadata on a real PostgreSQL: the suite that every engine passes. */
import { postgresAddress } from "../../src/lib/postgres-address.ts";
import { Metadata } from "../../src/metadata/metadata.ts";
import { POSTGRES_MIGRATIONS } from "../../src/metadata/migrations/migrations.ts";
import { PostgresEngine } from "../../src/metadata/postgres/postgres-engine.ts";
import { metadataSuite } from "../../src/metadata/testing/metadata-suite.ts";
import type { OpenMetadata } from "../../src/metadata/testing/subject.ts";
import { poolOptions, sharedServer } from "./support/postgres-server.ts";

const openMetadata: OpenMetadata = async (clock) => {
  const url = await (await sharedServer()).createMigratedDatabase();
  const options = poolOptions({ migrations: POSTGRES_MIGRATIONS, connections: 4 });
  const engine = await PostgresEngine.open(postgresAddress(url), options);
  return { store: new Metadata(engine, clock), engine };
};

metadataSuite("PostgreSQL", openMetadata, { isSqlite: false });
