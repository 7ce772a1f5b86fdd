/** A large registry in PostgreSQL, filled by SQL: the rows of years of pushes, without their bytes. */
import { postgresAddress } from "../../../src/lib/postgres-address.ts";
import { ConnectionPool } from "../../../src/metadata/postgres/connection-pool.ts";
import { poolOptions } from "./postgres-server.ts";

export interface LargeRegistry {
  readonly repositories: number;
  /** Each with a tag; a tenth of them in the first repository. */
  readonly manifests: number;
  /** Of each manifest; no two manifests share one. */
  readonly blobs: number;
}

/** The repository with a tenth of the manifests, and the tag whose history is the longest. */
export const LARGEST = "big/r000001";
export const MOVED_TAG = "t0000001";

/** Fills the tables of a migrated database, without their triggers, in the order of their keys. */
export async function fillRegistry(url: string, { repositories, manifests, blobs }: LargeRegistry): Promise<void> {
  const all = manifests * blobs;
  // The first repository has every tenth manifest.
  const repoOf = (manifest: string): string =>
    `case when ${manifest} % 10 = 0 then 1 else 1 + ${manifest} % ${repositories} end`;
  const manifestOf = `((b + ${blobs} - 1) / ${blobs})`;
  const steps = [
    `insert into repo (id, name, created_at, counted_bytes, counted_tags)
     select i, 'big/r' || lpad(i::text, 6, '0'), 1, 1000, 10 from generate_series(1, ${repositories}) i`,
    `insert into blob (id, digest, size, storage_key, fingerprint, state, created_at, touched_at, unref_at)
     select row_number() over (order by d), d, 1000, 'blobs/' || lpad(i::text, 10, '0'), '1', 'live', 1, 1, 1
     from (select i, ${digest("i")} as d from generate_series(1, ${all}) i) digests`,
    `insert into manifest (id, repo, digest, media_type, subject, size, pushed_at, touched_at, payload)
     select i, ${repoOf("i")}, ${digest("'manifest ' || i")}, 'application/vnd.oci.image.manifest.v1+json',
       case when i % 20 = 0 then ${digest("'manifest 10'")} end, 500, i, i, '\\x7b7d'
     from generate_series(1, ${manifests}) i`,
    `insert into repo_blob (repo, blob, touched_at, unref_at)
     select ${repoOf(manifestOf)}, b, 1, 1 from generate_series(1, ${all}) b order by 1, 2`,
    `insert into manifest_blob (manifest, blob, repo)
     select ${manifestOf}, b, ${repoOf(manifestOf)} from generate_series(1, ${all}) b`,
    `insert into tag (repo, name, manifest, since, updated_at)
     select ${repoOf("i")}, 't' || lpad(i::text, 7, '0'), i, i, i from generate_series(1, ${manifests}) i order by 1, 2`,
    `insert into tag_count (manifest, tags) select i, 1 from generate_series(1, ${manifests}) i`,
    `insert into tag_history (repo, name, digest, since, until)
     select ${repoOf("i")}, case when i % 10 = 0 then '${MOVED_TAG}' else 't' || lpad(i::text, 7, '0') end,
       ${digest("'manifest ' || i")}, 0, i from generate_series(1, ${manifests}) i`,
    `insert into upload (id, repo, part_key, algorithm, received, version, started_at, expires_at)
     select 'u' || lpad(i::text, 8, '0'), ${repoOf("i")}, 'uploads/' || i, 'sha256', 0, 1, 1, 9e15::bigint
     from generate_series(1, ${repositories}) i`,
    `insert into trash (storage_key, after) select 'blobs/gone' || i, 9e15::bigint from generate_series(1, ${repositories}) i`,
    `insert into change (repository) select 'big/r' || i from generate_series(1, 10000) i`,
    `insert into event (at, bytes, payload) select i, 100, '{}' from generate_series(1, ${manifests}) i`,
    `insert into audit (at, who, action, object, repository, rule)
     select i, 'alice', 'push', 'manifest', 'big/r' || i, 'rule' from generate_series(1, ${manifests}) i`,
    `insert into account (name, password_hash, member_of, generation, created_at, changed_at)
     select 'user' || i, '$', '[]', '1', 1, 1 from generate_series(1, ${Math.min(repositories, 10_000)}) i`,
    `insert into robot_token (id, robot, secret_hash, grants, created_at)
     select 'token' || i, 'robot' || i, '\\x00', '[]', 1 from generate_series(1, ${Math.min(repositories, 10_000)}) i`,
  ];
  for (const table of ["repo", "blob", "manifest"]) {
    steps.push(`select setval(pg_get_serial_sequence('${table}', 'id'), (select max(id) from ${table}))`);
  }
  const pool = await ConnectionPool.open(postgresAddress(url), poolOptions({ statementTimeoutMs: LONGEST_MS }));
  try {
    await pool.use(async (connection) => {
      // Triggers and foreign keys would look at each row.
      const text = ["set session_replication_role = replica", "set work_mem = '256MB'", ...steps, "analyze"].join(
        ";\n",
      );
      const [answer] = await connection.send([{ text }]);
      if (!answer || "error" in answer) throw answer?.error ?? new Error("no answer");
      connection.spoil(); // its settings are for this alone
    });
  } finally {
    await pool.close();
  }
}

const LONGEST_MS = 3 * 3_600_000;

/** SQL for the bytes of the SHA-256 of a text. */
function digest(of: string): string {
  return `'\\x01'::bytea || sha256((${of})::text::bytea)`;
}
