/** A metadata store under test, and the steps by which its tests bring something into it. */
import { randomUUID } from "node:crypto";
import type { Clock } from "../../lib/clock.ts";
import { digestOf } from "../../oci/digest.ts";
import type { Digest } from "../../oci/digest.ts";
import { repositoryName } from "../../oci/repository-name.ts";
import type { RepositoryName } from "../../oci/repository-name.ts";
import type { BlobLocation } from "../blobs.ts";
import type { Needed, NewManifest, PutManifestResult } from "../manifests.ts";
import type { Metadata } from "../metadata.ts";
import type { UploadClaim } from "../uploads.ts";
import { isQuotaProblem } from "../quotas.ts";
import type { QuotaProblem } from "../quotas.ts";
import { rows } from "./raw-sql.ts";
import type { Row, SqlEngine, Value } from "../sql.ts";

/** Opens a fresh, empty store that asks `clock` for the time, and the engine that it works on. */
export type OpenMetadata = (clock: Clock) => Promise<{ readonly store: Metadata; readonly engine: SqlEngine }>;

/** A process that holds uploads, and how long its lease lasts. */
export const HOLDER = "a holder";
export const LEASE_MS = 10_000;

export const HOUR_MS = 3_600_000;

export const APP: RepositoryName = repositoryName("team/app");
export const OTHER: RepositoryName = repositoryName("team/other");

export const IMAGE_TYPE = "application/vnd.oci.image.manifest.v1+json";

/** The store, with a clock that stands still until it is moved. */
export class Subject implements AsyncDisposable {
  readonly store: Metadata;
  readonly engine: SqlEngine;
  readonly clock: { ms: number; now(): number };

  private constructor(store: Metadata, engine: SqlEngine, clock: { ms: number; now(): number }) {
    this.store = store;
    this.engine = engine;
    this.clock = clock;
  }

  static async open(open: OpenMetadata): Promise<Subject> {
    const clock = { ms: 1_700_000_000_000, now: () => clock.ms };
    const { store, engine } = await open(clock);
    return new Subject(store, engine, clock);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.store.close();
  }

  /** Begins an upload and gives its id. */
  async begin(repository: RepositoryName = APP, expiresAt: number = this.clock.ms + HOUR_MS): Promise<string> {
    const id = randomUUID();
    await this.store.uploads.create(repository, { id, partKey: partKeyOf(id), algorithm: "sha256", expiresAt });
    return id;
  }

  /** Claims an upload of version 1 for `HOLDER`, whose lease is renewed, and gives the version that the claimer holds. */
  async claim(id: string, more: Partial<UploadClaim> = {}): Promise<number> {
    const version = await this.store.uploads.claim({ ...this.claimTerms(id), ...more });
    if (version === undefined) throw new Error("the claim was refused");
    return version;
  }

  claimTerms(id: string): UploadClaim {
    const { ms } = this.clock;
    return { id, version: 1, holder: HOLDER, leaseUntil: ms + LEASE_MS, expiresAt: ms + HOUR_MS };
  }

  /** Pushes a blob and gives its digest. Its bytes are taken to lie under `keyOf(id of the upload)`. */
  async push(
    content: string,
    more: { readonly to?: RepositoryName; readonly location?: BlobLocation } = {},
  ): Promise<Pushed> {
    const { to = APP } = more;
    const id = await this.begin(to);
    const location = more.location ?? { kind: "stored", storageKey: keyOf(id), fingerprint: "12 5" };
    const digest = textDigest(content);
    const done = unbounded(await this.store.uploads.finish({ id, version: 1, digest, size: content.length, location }));
    if (!done) throw new Error("the upload could not be finished");
    return { digest, key: location.kind === "stored" ? location.storageKey : "", size: content.length };
  }

  /** Puts a manifest whose digest is that of its `payload`. */
  async put(
    payload: string,
    more: Partial<NewManifest> & { readonly to?: RepositoryName } = {},
  ): Promise<PutManifestResult> {
    const { to = APP, ...facts } = more;
    return unbounded(await this.store.manifests.put(to, newManifest(payload, facts)));
  }

  /** Puts a manifest that needs nothing and gives its digest. */
  async image(payload: string, more: Partial<NewManifest> & { readonly to?: RepositoryName } = {}): Promise<Digest> {
    const result = await this.put(payload, more);
    if (result.kind !== "stored") throw new Error(`the manifest was refused: ${result.kind}`);
    return textDigest(payload);
  }

  /** What SQL says, for what the port does not show. */
  query(text: string, ...values: Value[]): Promise<readonly Row[]> {
    return this.engine.read(() => rows(text, ...values));
  }

  /** Changes rows behind the port's back. */
  change(text: string, ...values: Value[]): Promise<readonly Row[]> {
    return this.engine.write(() => rows(text, ...values));
  }

  /** Every key that may be removed at some time. */
  async trash(): Promise<readonly string[]> {
    const found = await this.query("select storage_key from trash order by storage_key");
    return found.map((row) => String(row["storage_key"]));
  }
}

/** The result of a write where no quota is. */
export function unbounded<Result>(result: Result | QuotaProblem): Result {
  if (isQuotaProblem(result)) throw new Error(`a quota was in the way: ${JSON.stringify(result)}`);
  return result;
}

export interface Pushed {
  readonly digest: Digest;
  /** Of its bytes; empty when they lie in the row. */
  readonly key: string;
  readonly size: number;
}

export function partKeyOf(upload: string): string {
  return `uploads/${upload}`;
}

export function keyOf(upload: string): string {
  return `blobs/${upload}`;
}

export function textDigest(text: string): Digest {
  return digestOf(bytes(text));
}

export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export function inline(content: string): BlobLocation {
  return { kind: "inline", payload: bytes(content) };
}

export function needs({ digest, size }: { digest: string; size: number }, optional = false): Needed {
  return { digest, size, optional, path: `of ${digest}` };
}

/** The answer to a manifest of which everything is here, as it says. */
export const STORED: PutManifestResult = { kind: "stored", missing: [], wrongSizes: [] };

export function newManifest(payload: string, more: Partial<NewManifest> = {}): NewManifest {
  return {
    digest: textDigest(payload),
    mediaType: IMAGE_TYPE,
    artifactType: undefined,
    subject: undefined,
    annotations: undefined,
    payload: bytes(payload),
    blobs: [],
    children: [],
    tags: [],
    condition: undefined,
    ...more,
  };
}

/** As the spec compares names: byte by byte. */
export function inByteOrder<Text extends string>(texts: readonly Text[]): Text[] {
  return texts.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}
