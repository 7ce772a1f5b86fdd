/**
 * Fills a data folder with more than a test has time to push, as pushes would have left it: every digest is that of its
 * bytes, counters and revisions are right, and `stowage check --deep` finds nothing wrong. `seeder.test.ts` compares its
 * rows with those of real pushes.
 */
import { Database } from "bun:sqlite";
import { join } from "node:path";
import { digestBytes, digestText } from "../../../src/metadata/digest-bytes.ts";
import { makeDataFolder } from "../../support/data-folder.ts";
import { OCI_MANIFEST } from "../../support/content.ts";
import { digestOf, seededArtifact, seededImage } from "./content.ts";
import type { SeededManifest, Subject } from "./content.ts";

type Values = Record<string, string | number | Uint8Array | null>;

export interface Images {
  /** Repositories are named `prefix/0000000`, `prefix/0000001`, … */
  readonly prefix: string;
  readonly repositories: number;
  /** Images of each repository, with a config and a layer of their own; 1 when absent. */
  readonly images?: number;
  /** Layers of the first image of each repository; 1 when absent. The others have one. */
  readonly layers?: number;
  /** Tags of each image, `v0-0`, `v0-1`, … `v1-0`, …; 1 when absent. */
  readonly tags?: number;
}

export interface Referrers {
  readonly repository: string;
  /** A tag of their subject. */
  readonly tag: string;
  readonly count: number;
  readonly artifactType?: string;
  /** Bytes of an annotation of each; none when absent. */
  readonly annotationBytes?: number;
}

export interface Blobs {
  readonly repository: string;
  readonly count: number;
  /** Of each, at least 16; 512 when absent. They are kept in the database. */
  readonly bytes?: number;
}

/** When everything was pushed: long before any lease or grace ends. */
const PUSHED_AT = 1_600_000_000_000;

/** The bytes of a blob that no manifest references, of that number in its repository. */
export function blobPayload(repository: string, number: number, bytes: number = 512): Uint8Array {
  return Buffer.alloc(bytes, `${repository} ${number} `);
}

function nameOf(prefix: string, at: number): string {
  return `${prefix}/${String(at).padStart(7, "0")}`;
}

/** Numbers from 0 to below `$count`. */
const NUMBERS = `with recursive n(i) as (select 0 where $count > 0 union all select i + 1 from n where i + 1 < $count)`;

const TAG = `printf('t%07d', i)`;

/**
 * Fills the folder, which becomes an empty registry when it is none, in one transaction. Servers may use it meanwhile, and
 * wait.
 */
export async function seed(dataDir: string, fill: (seeder: Seeder) => void): Promise<void> {
  await makeDataFolder(dataDir);
  const database = new Database(join(dataDir, "registry.db"), { strict: true });
  try {
    database.run("pragma busy_timeout = 10000");
    database.run("pragma foreign_keys = on");
    database.run("pragma cache_size = -1000000");
    database.run("pragma temp_store = memory");
    database.transaction(() => new Seeder(database).fill(fill)).immediate();
    database.run("pragma wal_checkpoint(truncate)");
  } finally {
    database.close();
  }
}

export class Seeder {
  readonly #database: Database;
  /** The repository whose change was recorded last. */
  #changed: number | undefined;

  constructor(database: Database) {
    this.#database = database;
  }

  fill(work: (seeder: Seeder) => void): void {
    work(this);
    this.#run("delete from change where number <= (select max(number) from change) - 10000");
  }

  /** Adds many repositories with images. */
  images({ prefix, repositories, images = 1, layers = 1, tags = 1 }: Images): void {
    for (let at = 0; at < repositories; at++) {
      const name = nameOf(prefix, at);
      for (let image = 0; image < images; image++) {
        this.image(name, `v${image}`, { tags, layers: image === 0 ? layers : 1 });
      }
    }
  }

  /** Adds an image with tags of that prefix, such as `v0-0`, `v0-1`, …; its bytes follow from repository and prefix. */
  image(repository: string, prefix: string, { tags = 1, layers = 1 } = {}): void {
    const repo = this.#repository(repository);
    const image = seededImage(`${repository}:${prefix}`, layers);
    this.#manifest(repo, image);
    for (let tag = 0; tag < tags; tag++) this.#tag(repo, `${prefix}-${tag}`, image.digest);
  }

  /** Points so many more tags, `t0000000`, `t0000001`, …, at what a tag points at. */
  tags(repository: string, tag: string, count: number): void {
    const from = `
      ${NUMBERS} select t.repo, ${TAG}, t.manifest, ${PUSHED_AT}, ${PUSHED_AT}
      from n, tag t join repo r on r.id = t.repo where r.name = $repository and t.name = $tag`;
    this.#run(`insert into tag (repo, name, manifest, since, updated_at) ${from}`, { count, repository, tag });
    this.#repository(repository);
  }

  /** Adds artifacts without tags, whose subject is what a tag points at. */
  referrers({
    repository,
    tag,
    count,
    artifactType = "application/vnd.example.sbom",
    annotationBytes,
  }: Referrers): void {
    const repo = this.#repository(repository);
    const subject = this.#target(repo, tag);
    for (let number = 0; number < count; number++) {
      this.#manifest(repo, seededArtifact(number, { subject, artifactType, annotationBytes }));
    }
  }

  /** Adds blobs that no manifest references; garbage collection may delete them as soon as it looks. */
  blobs({ repository, count, bytes }: Blobs): void {
    for (let number = 0; number < count; number++) {
      this.#unreferenced(repository, blobPayload(repository, number, bytes));
    }
  }

  /** Adds a blob whose bytes are in a file, which must be there; its key is the path of the file in the data folder. */
  storedBlob(
    repository: string,
    digest: string,
    key: string,
    { size, mtimeMs }: { size: number; mtimeMs: number },
  ): void {
    const repo = this.#repository(repository);
    const values = { digest: digestBytes(digest), size, key, fingerprint: `${size} ${mtimeMs}`, at: PUSHED_AT };
    this.#run(
      `insert into blob (digest, size, storage_key, fingerprint, state, created_at, touched_at, unref_at)
      values ($digest, $size, $key, $fingerprint, 'live', $at, $at, $at)`,
      values,
    );
    this.#link(repo, digest);
  }

  /** Adds a blob that many repositories show and no manifest references. */
  sharedBlob({ prefix, repositories }: Pick<Images, "prefix" | "repositories">): void {
    for (let at = 0; at < repositories; at++) this.#unreferenced(nameOf(prefix, at), `shared by ${prefix}`);
  }

  /** Adds so many periods to the history of a tag, before the one that lasts; they took turns among all manifests. */
  history(repository: string, tag: string, count: number): void {
    const repo = this.#repository(repository);
    const digest = this.#target(repo, tag).digest;
    this.#run(
      `insert into tag_history (repo, name, digest, since, until)
      ${NUMBERS} select $repo, $tag, $digest, ${PUSHED_AT} - $count + i, ${PUSHED_AT} - $count + i + 1 from n`,
      { repo, tag, digest: digestBytes(digest), count },
    );
  }

  /** The digest that a tag points at. */
  digest(repository: string, tag: string): string {
    return this.#target(this.#repository(repository), tag).digest;
  }

  /** The id of a repository, which begins now if it is new; for those who cache responses it has changed. */
  #repository(name: string): number {
    const [known] = this.#rows<{ id: number }>("select id from repo where name = $name", { name });
    if (known?.id !== this.#changed) this.#run("insert into change (repository) values ($name)", { name });
    if (known) return (this.#changed = known.id);
    const values = { name, at: PUSHED_AT };
    const [begun] = this.#rows<{ id: number }>(
      "insert into repo (name, created_at) values ($name, $at) returning id",
      values,
    );
    return (this.#changed = begun!.id);
  }

  #target(repo: number, tag: string): Subject {
    const [target] = this.#rows<{ digest: Uint8Array; size: number }>(
      "select m.digest, m.size from tag t join manifest m on m.id = t.manifest where t.repo = $repo and t.name = $tag",
      { repo, tag },
    );
    if (!target) throw new Error(`no manifest has the tag ${tag}`);
    return { digest: digestText(target.digest), size: target.size };
  }

  #unreferenced(repository: string, payload: Uint8Array | string): void {
    const repo = this.#repository(repository);
    const digest = digestOf(payload);
    this.#blob(repo, digest, payload);
    this.#run(
      `update repo_blob set review_after = $at where repo = $repo and blob = (select id from blob where digest = $digest)`,
      { repo, digest: digestBytes(digest), at: PUSHED_AT },
    );
  }

  #blob(repo: number, digest: string, payload: Uint8Array | string): void {
    const size = payload.length;
    const at = PUSHED_AT;
    this.#run(
      `insert or ignore into blob (digest, size, state, created_at, touched_at, unref_at, payload)
      values ($digest, $size, 'live', $at, $at, $at, cast($payload as blob))`,
      { digest: digestBytes(digest), size, at, payload },
    );
    this.#link(repo, digest);
  }

  #link(repo: number, digest: string): void {
    this.#run(
      `insert or ignore into repo_blob (repo, blob, touched_at, unref_at)
      select $repo, id, $at, $at from blob where digest = $digest`,
      { repo, digest: digestBytes(digest), at: PUSHED_AT },
    );
  }

  #manifest(repo: number, manifest: SeededManifest): void {
    const { digest, text, blobs, artifactType = null, subject = null, annotations = null } = manifest;
    for (const blob of blobs) this.#blob(repo, blob.digest, blob.text);
    const [{ id }] = this.#rows<{ id: number }>(
      `insert into manifest
        (repo, digest, media_type, artifact_type, subject, size, annotations, pushed_at, touched_at, payload)
      values ($repo, $digest, '${OCI_MANIFEST}', $artifactType, $subject, $size, $annotations, $at, $at,
        cast($text as blob))
      returning id`,
      {
        repo,
        digest: digestBytes(digest),
        artifactType,
        subject: subject === null ? null : digestBytes(subject),
        size: text.length,
        annotations,
        at: PUSHED_AT,
        text,
      },
    ) as [{ id: number }];
    for (const blob of new Set(blobs)) {
      this.#run(
        `insert into manifest_blob (repo, manifest, blob) select $repo, $id, id from blob where digest = $digest`,
        { repo, id, digest: digestBytes(blob.digest) },
      );
    }
  }

  #tag(repo: number, name: string, digest: string): void {
    this.#run(
      `insert into tag (repo, name, manifest, since, updated_at)
      select $repo, $name, id, $at, $at from manifest where repo = $repo and digest = $digest`,
      { repo, name, digest: digestBytes(digest), at: PUSHED_AT },
    );
  }

  /** Whether it changed a row. */
  #run(text: string, values: Values = {}): boolean {
    return this.#database.query(text).run(values).changes > 0;
  }

  #rows<Row>(text: string, values: Values): Row[] {
    return this.#database.query<Row, Values>(text).all(values);
  }
}
