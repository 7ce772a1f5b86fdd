/**
 * Converts the database of a development version, whose rows referred to each other by the texts of digests (schema 19), into
 * one of schema 20. All rows are copied into a new file, table by table, which then takes the place of the old one: until that
 * moment the old one is whole, and a conversion that ends early is begun again.
 */
import { existsSync } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { InheritedPermissions } from "../../lib/inherited-permissions.ts";
import { FIRST_VERSION, SQLITE_TABLES, SQLITE_TRIGGERS } from "../migrations/migrations.ts";
import type { Row } from "../sql.ts";
import { Connection } from "./connection.ts";

/** The schema that is converted. */
const CONVERTED_VERSION = 19;

/** Called with what is being converted. */
export type ConversionListener = (table: string) => void;

/** The bytes of a digest of an algorithm that is computed here, and of any other. */
function bytesOf(text: string): string {
  return `case
    when ${text} glob 'sha256:*' and length(${text}) = 71 then unhex('01' || substr(${text}, 8))
    when ${text} glob 'sha512:*' and length(${text}) = 135 then unhex('02' || substr(${text}, 8))
    when ${text} is not null then unhex('00' || hex(${text})) end`;
}

/** The tag `t` of the old database was gone for clients since this job began. */
const REMOVAL = `from old.job j where j.repo = t.repo and j.subject = t.digest and j.kind = 'remove tags' and j.id > t.last_job`;

const MANIFEST_OF = (row: string, digest: string): string =>
  `join manifest m on m.repo = ${row}.repo and m.digest = ${bytesOf(`${row}.${digest}`)}`;

/** Tables that did not change, beside those that stand below. */
const SAME = [
  "holder",
  "trash",
  "lease",
  "last_run",
  "change",
  "quota",
  "signing_key",
  "account",
  "robot_token",
  "secret",
  "operation",
] as const;

/** In an order in which no row refers to one that is not there yet, and in the order of keys: pages are written once. */
const COPIES: readonly (readonly [table: string, text: string])[] = [
  [
    "repo",
    `insert into repo (id, name, created_at, bytes, tags, review_after)
     select r.id, r.name, r.created_at, r.bytes, r.tags,
       (select max(q.review_after) from old.gc_queue q where q.kind = 'manifest' and q.repo = r.id)
     from old.repo r order by r.id`,
  ],
  [
    "blob",
    `insert into blob (digest, size, storage_key, state, created_at, touched_at, unref_at, review_after, payload)
     select ${bytesOf("b.digest")}, b.size, b.storage_key, b.state, b.created_at, b.touched_at, b.unref_at, q.review_after,
       i.payload
     from old.blob b left join old.blob_inline i on i.digest = b.digest
     left join old.gc_queue q on q.kind = 'blob' and q.repo = 0 and q.digest = b.digest
     order by b.digest`,
  ],
  [
    "repo_blob",
    `insert into repo_blob (repo, blob, touched_at, unref_at, review_after)
     select l.repo, b.id, l.touched_at, l.unref_at, q.review_after
     from old.repo_blob l join blob b on b.digest = ${bytesOf("l.digest")}
     left join old.gc_queue q on q.kind = 'link' and q.repo = l.repo and q.digest = l.digest
     order by l.repo, l.digest`,
  ],
  // A link that was taken away made its blob be looked at.
  [
    "blob",
    `update blob set review_after = unlinked.after from (
       select ${bytesOf("q.digest")} as digest, max(q.review_after) as after from old.gc_queue q
       where q.kind = 'link' and not exists (
         select 1 from old.repo_blob l where l.repo = q.repo and l.digest = q.digest)
       group by q.digest) unlinked
     where blob.digest = unlinked.digest and blob.review_after is null`,
  ],
  [
    "manifest",
    `insert into manifest (
       repo, digest, media_type, artifact_type, subject, size, annotations, pushed_at, touched_at, pushed_after, review_after,
       payload)
     select m.repo, ${bytesOf("m.digest")}, m.media_type, m.artifact_type, ${bytesOf("m.subject")}, m.size, m.annotations,
       m.pushed_at, m.touched_at, m.pushed_after, q.review_after, m.payload
     from old.manifest m left join old.gc_queue q on q.kind = 'manifest' and q.repo = m.repo and q.digest = m.digest
     order by m.repo, m.digest`,
  ],
  [
    "manifest_blob",
    `insert into manifest_blob (manifest, blob, repo)
     select m.id, b.id, e.repo from old.manifest_blob e ${MANIFEST_OF("e", "manifest")}
     join blob b on b.digest = ${bytesOf("e.blob")} order by e.repo, e.manifest, e.blob`,
  ],
  [
    "manifest_child",
    `insert into manifest_child (parent, child, repo)
     select m.id, ${bytesOf("e.child")}, e.repo from old.manifest_child e ${MANIFEST_OF("e", "parent")}
     order by e.repo, e.parent, e.child`,
  ],
  [
    "manifest_missing",
    `insert into manifest_missing (manifest, digest, repo)
     select m.id, ${bytesOf("e.digest")}, e.repo from old.manifest_missing e ${MANIFEST_OF("e", "manifest")}
     order by e.repo, e.manifest, e.digest`,
  ],
  [
    "former_subject",
    `insert into former_subject (id, repo, digest, deleted_at)
     select id, repo, ${bytesOf("digest")}, deleted_at from old.former_subject`,
  ],
  [
    "tag",
    `insert into tag (repo, name, manifest, since, updated_at)
     select t.repo, t.name, m.id, coalesce((
         select max(h.since) from old.tag_history h where h.repo = t.repo and h.name = t.name and h.until is null),
       t.updated_at), t.updated_at
     from old.tag t ${MANIFEST_OF("t", "digest")} where not exists (select 1 ${REMOVAL}) order by t.repo, t.name`,
  ],
  ["tag_count", `insert into tag_count (manifest, tags) select manifest, count(*) from tag group by manifest`],
  [
    "tag_history",
    `insert into tag_history (id, repo, name, digest, since, until)
     select h.id, h.repo, h.name, ${bytesOf("h.digest")}, h.since, coalesce(h.until, (select min(j.begun_at) ${REMOVAL}))
     from old.tag_history h left join old.tag t on h.until is null and t.repo = h.repo and t.name = h.name
     where h.until is not null or exists (select 1 ${REMOVAL}) order by h.id`,
  ],
  [
    "signature",
    `insert into signature (manifest, name, repo, content)
     select m.id, s.name, s.repo, s.content from old.signature s ${MANIFEST_OF("s", "manifest")}`,
  ],
  ["pin", `insert into pin (manifest, why) select m.id, p.why from old.pin p ${MANIFEST_OF("p", "digest")}`],
  [
    "upload",
    `insert into upload (
       id, repo, part_key, final_key, algorithm, received, counted, digest_so_far, version, told, part_file, claimed_by,
       begun_by, started_at, expires_at, staged)
     select u.id, u.repo, u.storage_key, u.final_key, u.algorithm, u.received, u.counted, ${bytesOf("u.digest_so_far")},
       u.version, u.told, u.part_file, u.claimed_by, u.begun_by, u.started_at, u.expires_at, i.payload
     from old.upload u left join old.upload_inline i on i.upload = u.id`,
  ],
  // Tags that were gone for clients are gone by now.
  [
    "job",
    `insert into job (id, kind, repo, digest, name, position, done, begun_at)
     select id, kind, repo, case when kind = 'review referrers' then ${bytesOf("subject")} end,
       case when kind = 'delete repository' then subject end, position, done, begun_at
     from old.job where kind <> 'remove tags'`,
  ],
  ["revision", `update revision set number = (select number from old.revision o where o.scope = revision.scope)`],
  ...SAME.map((table): [string, string] => [table, `insert into ${table} select * from old.${table}`]),
  // Ids that rows of before had are not used again.
  [
    "sqlite_sequence",
    `delete from sqlite_sequence where name in ('former_subject', 'job');
     insert into sqlite_sequence (name, seq)
     select name, seq from old.sqlite_sequence where name in ('former_subject', 'job')`,
  ],
];

/** Rows whose fingerprint is written at once. */
const CHUNK = 1000;

/** The version of a database that has no writer. */
function versionOf(connection: Connection): number {
  return Number(connection.run({ text: "pragma user_version", values: [] })[0]?.["user_version"]);
}

/** Whether there is a database of the schema that is converted. */
export function isConvertible(path: string): boolean {
  if (!existsSync(path)) return false;
  const connection = Connection.open(path, ["busy_timeout = 5"]);
  try {
    return versionOf(connection) === CONVERTED_VERSION;
  } finally {
    connection.close();
  }
}

/**
 * Converts a database, which no other process may have open. Throws, and leaves it as it is, when a row of it cannot be
 * converted.
 */
export async function convertOldDatabase(path: string, onTable: ConversionListener = () => {}): Promise<void> {
  const old = Connection.open(path, ["busy_timeout = 5"]);
  try {
    old.run({ text: "pragma wal_checkpoint(truncate)", values: [] });
  } finally {
    old.close();
  }
  const target = `${path}.converted`;
  await rm(target, { force: true });
  InheritedPermissions.in(dirname(path)).makeFile(target);
  // What is in the memory is bounded: SQLite sorts in files.
  const connection = Connection.open(target, ["journal_mode = off", "synchronous = off", "cache_size = -65536"]);
  try {
    connection.run({ text: "attach $1 as old", values: [path] });
    connection.exec(SQLITE_TABLES);
    for (const [table, text] of COPIES) {
      onTable(table);
      connection.exec(text);
    }
    writeFingerprints(connection);
    connection.exec(SQLITE_TRIGGERS);
    checkRows(connection);
    connection.exec(`pragma user_version = ${FIRST_VERSION}; detach old`);
  } catch (error) {
    await rm(target, { force: true });
    throw error;
  } finally {
    connection.close();
  }
  await sync(target);
  await rename(target, path);
  for (const sidecar of ["-wal", "-shm"]) await rm(`${path}${sidecar}`, { force: true });
  await sync(dirname(path));
}

/** The fingerprints of files, as the store writes them: size and time. SQLite writes other digits of a time than JavaScript. */
function writeFingerprints(connection: Connection): void {
  const next = `
    select b.id, o.size, o.mtime from blob b join old.blob o on o.storage_key = b.storage_key
    where b.id > $1 and b.storage_key is not null order by b.id limit ${CHUNK}`;
  let found: readonly Row[];
  let after = 0;
  do {
    found = connection.run({ text: next, values: [after] });
    for (const { id, size, mtime } of found) {
      const values = [Number(id), `${String(size)} ${String(mtime)}`];
      connection.run({ text: "update blob set fingerprint = $2 where id = $1", values });
      after = Number(id);
    }
  } while (found.length === CHUNK);
}

/** Throws when something did not come over. */
function checkRows(connection: Connection): void {
  const first = (text: string): Row | undefined => connection.run({ text, values: [] })[0];
  for (const table of [
    "repo",
    "blob",
    "repo_blob",
    "manifest",
    "manifest_blob",
    "manifest_child",
    "signature",
    "upload",
  ]) {
    const counts = first(`select (select count(*) from ${table}) as new, (select count(*) from old.${table}) as old`);
    if (counts?.["new"] !== counts?.["old"]) {
      throw new Error(
        `the database cannot be converted: of ${String(counts?.["old"])} rows of ${table} not all came over`,
      );
    }
  }
  if (first("pragma main.foreign_key_check")) {
    throw new Error("the database cannot be converted: a row refers to one that is not there");
  }
}

async function sync(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
