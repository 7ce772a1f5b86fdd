/** Where registries of the tests keep what they have: each pair of database and store, with a settings file. */
import { Database } from "bun:sqlite";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { COPIED_TABLES } from "../../../src/metadata/copied-tables.ts";
import { STORE_ID_SECRET } from "../../../src/registry/store-identity.ts";
import { MIN_PART_BYTES } from "../../../src/storage/s3-options.ts";
import type { S3Server } from "../../s3/support/s3-server.ts";
import { sharedServer } from "./postgres-server.ts";

export interface Place {
  /** The data folder of the settings. */
  readonly folder: string;
  /** The settings file. */
  readonly config: string;
  /** Another settings file, of the registry that takes no pushes. */
  readonly readOnly: string;
  /** The name of the PostgreSQL database; undefined for SQLite. */
  readonly database: string | undefined;
}

export type Engine = "sqlite" | "postgres";
export type Store = "files" | "s3";

let places = 0;

/** Makes the settings of a registry that has nothing yet. */
export async function newPlace(
  root: string,
  s3: Pick<S3Server, "options">,
  engine: Engine,
  store: Store,
  inline = 1024,
): Promise<Place> {
  const name = `${engine}-${store}-${++places}`;
  const folder = join(root, name);
  const url = engine === "postgres" ? await (await sharedServer()).createDatabase() : undefined;
  const { bucket, region, endpoint, prefix, credentials } = s3.options();
  const storage = {
    filesystem: { rootdirectory: folder },
    inline,
    redirect: { disable: true },
    ...(store === "s3" && {
      s3: {
        bucket,
        region,
        regionendpoint: endpoint,
        rootdirectory: prefix,
        chunksize: MIN_PART_BYTES,
        accesskey: credentials?.accessKeyId,
        secretkey: credentials?.secretAccessKey,
      },
    }),
  };
  const settings = (maintenance: object): string =>
    JSON.stringify({
      storage: { ...storage, maintenance },
      http: { addr: "127.0.0.1:0" },
      ...(url !== undefined && { database: { url } }),
    });
  const [config, readOnly] = [join(root, `${name}.yml`), join(root, `${name}-readonly.yml`)];
  await writeFile(config, settings({}));
  await writeFile(readOnly, settings({ readonly: { enabled: true } }));
  return { folder, config, readOnly, database: url && new URL(url).pathname.slice(1) };
}

/** All rows that are copied, by their tables, of a registry whose database is SQLite; without where its bytes are. */
export function rowsIn({ folder }: Place): Readonly<Record<string, readonly unknown[]>> {
  const database = new Database(join(folder, "registry.db"), { readwrite: true, create: false });
  try {
    const tables = COPIED_TABLES.map(({ name, key }) => {
      const rows = database
        .query<Record<string, unknown>, []>(`select * from ${name} order by ${key.join(", ")}`)
        .all();
      return [
        name,
        rows.map((row) => withoutPlace(name, row)).filter((row) => row["name"] !== STORE_ID_SECRET),
      ] as const;
    });
    return Object.fromEntries(tables);
  } finally {
    database.close();
  }
}

function withoutPlace(table: string, row: Record<string, unknown>): Record<string, unknown> {
  return table === "blob" ? { ...row, storage_key: row["storage_key"] !== null, fingerprint: null } : row;
}
