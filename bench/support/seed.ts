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

/** A digest that nobody's content has, told by a letter and a number. */
const DIGEST = (letter: string): string => `'sha256:${letter}' || printf('%063x', i)`;

const BLOBS = (letter: string): string => `
  insert into blob (digest, size, storage_key, fingerprint, state, created_at, touched_at, unref_at)
  with recursive n(i) as (select $from union all select i + 1 from n where i + 1 < $to)
  select ${DIGEST(letter)}, 512, case when i < $files then 'blobs/' || i end, case when i < $files then '512 0' end, 'live',
    ${LONG_AGO}, ${LONG_AGO}, ${LONG_AGO} from n`;

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
  database.query(BLOBS("a")).run({ from: 0, to: images, files: 0 });
  const run = (text: string): void => void database.query(text).run({ to: images });
  run(`insert into blob_inline (digest, payload) ${EACH} select ${DIGEST("a")}, zeroblob(512) from n`);
  run(`insert into repo_blob (repo, digest, touched_at, unref_at) ${EACH}
    select 1, ${DIGEST("a")}, ${LONG_AGO}, ${LONG_AGO} from n`);
  run(`insert into manifest (repo, digest, media_type, size, pushed_at, touched_at, payload) ${EACH}
    select 1, ${DIGEST("b")}, 'application/vnd.oci.image.manifest.v1+json', 700, ${LONG_AGO}, ${LONG_AGO},
    cast(printf('{%698s}', '') as blob) from n`);
  run(`insert into manifest_blob (repo, manifest, blob) ${EACH} select 1, ${DIGEST("b")}, ${DIGEST("a")} from n`);
  run(`insert into tag (repo, name, digest, updated_at) ${EACH}
    select 1, printf('v%07d', i), ${DIGEST("b")}, ${LONG_AGO} from n`);
  run(`insert into tag_history (repo, name, digest, since) ${EACH}
    select 1, printf('v%07d', i), ${DIGEST("b")}, ${LONG_AGO} from n`);
}

function addUnreferenced(database: Database, unreferenced: number, files: number): void {
  database.query(BLOBS("c")).run({ from: 0, to: unreferenced, files });
  const run = (text: string): void => void database.query(text).run({ to: unreferenced });
  run(`insert into repo_blob (repo, digest, touched_at, unref_at) ${EACH}
    select 1, ${DIGEST("c")}, ${LONG_AGO}, ${LONG_AGO} from n`);
  database
    .query(
      `insert into blob_inline (digest, payload) ${EACH} select ${DIGEST("c")}, zeroblob(512) from n where i >= $files`,
    )
    .run({ to: unreferenced, files });
  for (const [kind, repo] of [
    ["link", 1],
    ["blob", 0],
  ] as const) {
    run(`insert into gc_queue (kind, repo, digest, review_after) ${EACH}
      select '${kind}', ${repo}, ${DIGEST("c")}, ${LONG_AGO} from n`);
  }
}
