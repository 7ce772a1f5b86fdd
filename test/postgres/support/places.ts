/** Where registries of the tests keep what they have: each pair of database and store, with a settings file. */
import { Database } from "bun:sqlite";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { openRegistry } from "../../../src/cli/open-registry.ts";
import { settingsFrom } from "../../../src/cli/settings-options.ts";
import type { Registry } from "../../../src/create-registry.ts";
import { silentLogger } from "../../../src/observe/logger.ts";
import type { BlobStore } from "../../../src/storage/blob-store.ts";
import { S3BlobStore } from "../../../src/storage/s3/s3-blob-store.ts";
import { pushBlob, pushImage, putManifest } from "../../support/client.ts";
import { OCI_INDEX, bytesOf, imageIndex } from "../../support/content.ts";
import { Random } from "../../support/random.ts";
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
  /** The bucket of the settings, whether they have it or not. */
  store(): Promise<BlobStore>;
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
  const options = s3.options();
  const { bucket, region, endpoint, prefix, credentials } = options;
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
  return {
    folder,
    config,
    readOnly,
    database: url && new URL(url).pathname.slice(1),
    store: async () => new S3BlobStore(options),
  };
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

/** Opens the registry in this process. */
export async function openPlace({ config }: Place): Promise<Registry> {
  return await openRegistry(settingsFrom({ config }, {}).settings, silentLogger());
}

/** Serves the registry in this process. */
export async function servedFrom(place: Place): Promise<{ readonly url: string } & AsyncDisposable> {
  const registry = await openPlace(place);
  const { url } = await registry.listen({ otherSites: "served" });
  return { url, [Symbol.asyncDispose]: () => registry.close() };
}

/** Pushes, moves, deletes and names, as the seed says. */
export async function fillPlace(to: Place, seed: number): Promise<void> {
  const random = new Random(seed);
  await using registry = await openPlace(to);
  await using listener = await registry.listen({ otherSites: "served" });
  const { url } = listener;
  for (let step = 0; step < 12; step++) {
    const repository = random.pick(["app", "team/app", "team/web", "deep/er/name"]) ?? "app";
    const tag = `v${random.between(1, 3)}`;
    const image = await pushImage(url, repository, tag, random.between(1, 6));
    if (random.chance(0.4)) await pushBlob(url, repository, bytesOf(`large ${step}`, random.between(5000, 50_000)));
    if (random.chance(0.3)) {
      const subject = {
        mediaType: "application/vnd.oci.image.manifest.v1+json",
        digest: image.digest,
        size: image.body.length,
      };
      await pushImage(url, repository, undefined, `signature ${step}`, {
        subject,
        artifactType: "application/vnd.test",
        annotations: { step: `${step}` },
      });
    }
    if (random.chance(0.3)) {
      const index = imageIndex([
        { mediaType: "application/vnd.oci.image.manifest.v1+json", digest: image.digest, size: image.body.length },
      ]);
      await putManifest(url, repository, `index-${step}`, index, OCI_INDEX);
    }
    if (random.chance(0.2)) await fetch(`${url}/v2/${repository}/manifests/${tag}`, { method: "DELETE" });
    if (random.chance(0.1)) await fetch(`${url}/v2/${repository}/manifests/${image.digest}`, { method: "DELETE" });
  }
  await registry.users.add(`user-${seed}`, "$2b$05$abcdefghijklmnopqrstuuOmC1FWkEcYdQPQhWdKLYqrWj8e0gFNa", ["staff"]);
  await registry.robots.create(`robot-${seed}`, [{ repositories: "team/**", actions: ["pull"] }] as never, undefined);
  await fetch(`${url}/v2/app/blobs/uploads/`, { method: "POST" }); // stays open, and is not copied
  await registry.finishJobs();
}
