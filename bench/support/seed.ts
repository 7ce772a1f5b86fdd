/** Fills a data folder with many rows at once, as pushes would have left them. */
import { Database } from "bun:sqlite";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createRegistry } from "../../src/create-registry.ts";

export interface Contents {
  /** Images with one tag and one small blob each, in one repository. */
  readonly images: number;
  /** Blobs that no manifest needs, inline, due for collection. */
  readonly unreferenced: number;
  /** As many of those are files instead. */
  readonly files: number;
}

export const REPOSITORY = "bench/app";

const LONG_AGO = 1_600_000_000_000;

/** A digest that belongs to no content, made of a digit and a number. */
const DIGEST = (digit: string): string => `unhex('01${digit}' || printf('%063x', i))`;

const BLOBS = (digit: string): string => `
  insert into blob (digest, size, storage_key, fingerprint, state, created_at, touched_at, unref_at, review_after, payload)
  with recursive n(i) as (select $from union all select i + 1 from n where i + 1 < $to)
  select ${DIGEST(digit)}, 512, case when i < $files then 'blobs/' || i end, case when i < $files then '512 0' end, 'live',
    ${LONG_AGO}, ${LONG_AGO}, ${LONG_AGO}, case when $unreferenced then ${LONG_AGO} end,
    case when i >= $files then zeroblob(512) end from n`;

const EACH = `with recursive n(i) as (select 0 union all select i + 1 from n where i + 1 < $to)`;

/** Makes the folder a registry that holds all that; what is there already stays. */
export async function seed(folder: string, { images, unreferenced, files }: Contents): Promise<void> {
  await using registry = await createRegistry({ storage: { folder } });
  await registry.close();
  for (let file = 0; file < files; file++) {
    if (file === 0) await mkdir(join(folder, "blobs"), { recursive: true });
    await writeFile(join(folder, "blobs", String(file)), "x".repeat(512));
  }
  const database = new Database(join(folder, "registry.db"), { strict: true });
  try {
    database.run("pragma journal_mode = wal");
    database.transaction(() => {
      database.run(`insert into repo (id, name, created_at) values (1, '${REPOSITORY}', ${LONG_AGO})`);
      if (images > 0) addImages(database, images);
      if (unreferenced > 0) addUnreferenced(database, unreferenced, files);
    })();
    database.run("pragma wal_checkpoint(truncate)");
  } finally {
    database.close();
  }
}

function addImages(database: Database, images: number): void {
  database.query(BLOBS("a")).run({ from: 0, to: images, files: 0, unreferenced: 0 });
  const run = (text: string): void => void database.query(text).run({ to: images });
  database.run(
    `insert into repo_blob (repo, blob, touched_at, unref_at) select 1, id, ${LONG_AGO}, ${LONG_AGO} from blob`,
  );
  run(`insert into manifest (repo, digest, media_type, size, pushed_at, touched_at, payload) ${EACH}
    select 1, ${DIGEST("b")}, 'application/vnd.oci.image.manifest.v1+json', 700, ${LONG_AGO}, ${LONG_AGO},
    cast(printf('{%698s}', '') as blob) from n`);
  run(`insert into manifest_blob (repo, manifest, blob) ${EACH} select 1, m.id, b.id from n
    join manifest m on m.repo = 1 and m.digest = ${DIGEST("b")} join blob b on b.digest = ${DIGEST("a")}`);
  run(`insert into tag (repo, name, manifest, since, updated_at) ${EACH}
    select 1, printf('v%07d', i), m.id, ${LONG_AGO}, ${LONG_AGO} from n
    join manifest m on m.repo = 1 and m.digest = ${DIGEST("b")}`);
}

function addUnreferenced(database: Database, unreferenced: number, files: number): void {
  database.query(BLOBS("c")).run({ from: 0, to: unreferenced, files, unreferenced: 1 });
  database.run(`insert into repo_blob (repo, blob, touched_at, unref_at, review_after)
    select 1, id, ${LONG_AGO}, ${LONG_AGO}, ${LONG_AGO} from blob where review_after is not null`);
}
