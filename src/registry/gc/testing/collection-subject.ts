/** A registry under collection, with a clock that stands still until it is moved; in memory and on files. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { collect } from "../../../lib/collect.ts";
import { MemoryEngine } from "../../../metadata/memory/memory-engine.ts";
import { DEFAULT_RULES } from "../../../metadata/database.ts";
import type { Collectable } from "../../../metadata/collection.ts";
import type { CollectionRules, RetentionRules } from "../../../metadata/database.ts";
import { Metadata } from "../../../metadata/metadata.ts";
import { rows } from "../../../metadata/testing/raw-sql.ts";
import type { Row, SqlEngine, Value } from "../../../metadata/sql.ts";
import { SqliteEngine } from "../../../metadata/sqlite/sqlite-engine.ts";
import { digestOf } from "../../../oci/digest.ts";
import type { Digest } from "../../../oci/digest.ts";
import { repositoryName } from "../../../oci/repository-name.ts";
import type { RepositoryName } from "../../../oci/repository-name.ts";
import { tag as tagOf } from "../../../oci/tag.ts";
import type { BlobStore } from "../../../storage/blob-store.ts";
import { FilesystemBlobStore } from "../../../storage/filesystem/filesystem-blob-store.ts";
import { MemoryBlobStore } from "../../../storage/memory/memory-blob-store.ts";
import { createBackend } from "../../backend.ts";
import type { Backend } from "../../backend.ts";
import { LocalNamespace } from "../../namespace.ts";
import type { Repository } from "../../repository.ts";
import { collectAll, collectDue, previewCollection } from "../collector.ts";
import type { CollectionReport } from "../collector.ts";

export const MINUTE_MS = 60_000;
export const HOUR_MS: number = 60 * MINUTE_MS;
export const DAY_MS: number = 24 * HOUR_MS;

export const APP: RepositoryName = repositoryName("team/app");
export const OTHER: RepositoryName = repositoryName("team/other");

/** All different, so that a rule that uses the wrong one is found out. */
export const RULES: RetentionRules = {
  leaseMs: 3 * HOUR_MS,
  graceMs: HOUR_MS,
  undoMs: 3 * DAY_MS,
  freshMs: 5 * DAY_MS,
  untagged: false,
  historyMs: 7 * DAY_MS,
  historyEntries: 3,
};

export const ENGINES = ["memory", "SQLite and files"] as const;

/** Bytes up to which a blob lies in the database here; anything longer is a file. */
export const INLINE_BYTES = 16;

const INDEX_TYPE = "application/vnd.oci.image.index.v1+json";
const IMAGE_TYPE = "application/vnd.oci.image.manifest.v1+json";

interface ImageParts {
  readonly to?: RepositoryName;
  /** Contents of blobs that were pushed before. */
  readonly layers?: readonly string[];
  readonly tags?: readonly string[];
  readonly subject?: Digest;
  /** Tells images apart that have the same parts. */
  readonly note?: string;
}

export class CollectionSubject implements AsyncDisposable {
  readonly backend: Backend;
  readonly engine: SqlEngine;
  readonly clock: { ms: number; steadyMs: number; now(): number; steady(): number };
  readonly #remove: () => Promise<void>;

  private constructor(
    parts: { readonly engine: SqlEngine; readonly store: BlobStore; readonly remove: () => Promise<void> },
    rules: RetentionRules,
  ) {
    const clock = { ms: 1_700_000_000_000, steadyMs: 0, now: () => clock.ms, steady: () => clock.steadyMs };
    this.clock = clock;
    this.engine = parts.engine;
    this.#remove = parts.remove;
    this.backend = createBackend({
      store: parts.store,
      metadata: new Metadata(parts.engine, clock, { periods: rules }),
      clock,
      limits: { inlineBytes: INLINE_BYTES },
      rules,
    });
  }

  static async open(
    kind: (typeof ENGINES)[number],
    changed: Partial<CollectionRules> = {},
  ): Promise<CollectionSubject> {
    const rules = { ...DEFAULT_RULES, ...RULES, ...changed };
    if (kind === "memory") {
      const parts = { engine: await MemoryEngine.open(), store: new MemoryBlobStore(), remove: async () => {} };
      return new CollectionSubject(parts, rules);
    }
    const folder = await mkdtemp(join(tmpdir(), "stowage-collection-"));
    const parts = {
      engine: await SqliteEngine.open(join(folder, "registry.db")),
      store: await FilesystemBlobStore.open(folder),
      remove: () => rm(folder, { recursive: true }),
    };
    return new CollectionSubject(parts, rules);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.metadata.close();
    await this.#remove();
  }

  get metadata(): Metadata {
    return this.backend.metadata;
  }

  repository(name: RepositoryName = APP): Repository {
    return new LocalNamespace(this.backend).repository(name);
  }

  /** Lets time pass. */
  later(milliseconds: number): void {
    this.clock.ms += milliseconds;
    this.clock.steadyMs += milliseconds;
  }

  /** Sets the clock forward, though no time has passed. */
  setClockForward(milliseconds: number): void {
    this.clock.ms += milliseconds;
  }

  /** Pushes a blob and gives its digest. */
  async push(content: string, to: RepositoryName = APP): Promise<Digest> {
    const upload = await this.repository(to).blobs.upload();
    await upload.finish([digestOf(bytes(content))], once(bytes(content)));
    return digestOf(bytes(content));
  }

  /** Puts an image over blobs that are there, and gives its digest. */
  async image({ to = APP, layers = [], tags = [], subject, note = "" }: ImageParts = {}): Promise<Digest> {
    const descriptors = layers.map((layer) => ({
      mediaType: "application/vnd.oci.image.layer.v1.tar",
      digest: digestOf(bytes(layer)),
      size: bytes(layer).length,
    }));
    await this.push("{}", to);
    return await this.#put(to, tags, {
      schemaVersion: 2,
      mediaType: IMAGE_TYPE,
      config: { mediaType: "application/vnd.oci.empty.v1+json", digest: digestOf(bytes("{}")), size: 2 },
      layers: descriptors,
      annotations: { note },
      ...(subject === undefined ? {} : { artifactType: "test/note", subject: describe(subject, IMAGE_TYPE, 0) }),
    });
  }

  /** Puts an index over manifests that are there, and gives its digest. */
  async index(children: readonly Digest[], tags: readonly string[] = [], note = ""): Promise<Digest> {
    const manifests = [];
    for (const child of children) {
      const facts = await this.metadata.manifests.find(APP, child);
      manifests.push(describe(child, facts?.mediaType ?? IMAGE_TYPE, facts?.size ?? 0));
    }
    return await this.#put(APP, tags, { schemaVersion: 2, mediaType: INDEX_TYPE, manifests, annotations: { note } });
  }

  /** A round in the background: what has become due. */
  due(changed: Partial<CollectionRules> = {}): Promise<CollectionReport> {
    return collectDue(this.backend, { ...this.backend.rules, ...changed });
  }

  /** A collection by hand: everything that may go. */
  all(changed: Partial<CollectionRules> = {}): Promise<CollectionReport> {
    return collectAll(this.backend, { ...this.backend.rules, ...changed });
  }

  preview(changed: Partial<CollectionRules> = {}): Promise<Collectable[]> {
    return collect(previewCollection(this.backend, { ...this.backend.rules, ...changed }));
  }

  /** Whether the repository shows the blob; asking renews nothing. */
  async shows(digest: Digest, name: RepositoryName = APP): Promise<boolean> {
    return (await this.metadata.blobs.find(name, digest)) !== undefined;
  }

  async hasManifest(digest: Digest, name: RepositoryName = APP): Promise<boolean> {
    return (await this.metadata.manifests.find(name, digest)) !== undefined;
  }

  /** Whether there are bytes of that digest, in any repository. */
  async hasBytes(digest: Digest): Promise<boolean> {
    return (await this.metadata.blobs.locate(digest)) !== undefined;
  }

  /** Every key that the store holds. */
  async files(): Promise<readonly string[]> {
    return (await collect(this.backend.store.list())).map(({ key }) => key);
  }

  /** What SQL says, for what the port does not show. */
  query(text: string, ...values: Value[]): Promise<readonly Row[]> {
    return this.engine.read(() => rows(text, ...values));
  }

  /** Changes rows behind the port's back. */
  change(text: string, ...values: Value[]): Promise<readonly Row[]> {
    return this.engine.write(() => rows(text, ...values));
  }

  async #put(to: RepositoryName, tags: readonly string[], fields: object): Promise<Digest> {
    const put = await this.repository(to).manifests.put(bytes(JSON.stringify(fields)), { tags: tags.map(tagOf) });
    return put.digest;
  }
}

export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** A body that arrives in one piece. */
export async function* once(piece: Uint8Array): AsyncGenerator<Uint8Array> {
  yield piece;
}

/** A text whose bytes are a file, told apart by `name`. */
export function long(name: string): string {
  return `${name} `.padEnd(INLINE_BYTES + 20, ".");
}

function describe(digest: Digest, mediaType: string, size: number): object {
  return { mediaType, digest, size };
}
