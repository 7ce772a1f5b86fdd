/** Compares what is recorded with what is there, both ways. */
import { setImmediate as nextTurn } from "node:timers/promises";
import { Pace } from "../lib/pace.ts";
import { Digester, algorithmOf, digestOf } from "../oci/digest.ts";
import type { Digest } from "../oci/digest.ts";
import type { RecordedBlob } from "../metadata/blobs.ts";
import type { NeedingManifest } from "../metadata/manifests.ts";
import type { StorageKey, StoredKey } from "../storage/blob-store.ts";
import type { Backend } from "./backend.ts";
import { pagesOf } from "./pages.ts";

export interface CheckOptions {
  /** Whether every byte is read and hashed again: finds a bit that flipped, and takes as long as reading everything. */
  readonly deep: boolean;
  /** Called with the size of each piece that is read and hashed; what it returns is waited for: to read slowly. */
  readonly onRead?: (bytes: number) => Promise<void> | void;
  /** A file that nothing names is looked at when it is older than that, in milliseconds: a minute when absent. */
  readonly unknownAfterMs?: number;
  /** Where to begin among the digests; at the first when absent. */
  readonly after?: string;
  /** Called now and then with how many blobs and files have been looked at; what it returns is waited for. */
  readonly onStep?: (done: number) => Promise<void> | void;
}

export type Finding =
  | {
      /** Recorded bytes that are not there, not all there, or not what their digest says. */
      readonly kind: "missing" | "wrong size" | "wrong content" | "marked damaged";
      readonly digest: Digest;
      /** Where its bytes should lie; undefined when they lie in the database. */
      readonly key: string | undefined;
      /** Some of the manifests that cannot be pulled whole because of it. */
      readonly images: readonly NeedingManifest[];
    }
  | {
      /** Bytes that no record names. */
      readonly kind: "unknown file";
      readonly key: string;
      readonly size: number;
    };

/** A copy that a writer makes to take over an upload is recorded a moment later than it is made. */
const UNKNOWN_AFTER_MS = 60_000;
const MAX_IMAGES = 100;
const STEP = 100;
/** Rows of blobs that are read at once, without their bytes. */
const PAGE = 200;
/** Bytes of inline blobs that are hashed in one turn of the event loop. */
const TURN_BYTES = 256 * 1024;

/** Everything that is wrong; changes nothing. Requests go on meanwhile: it rests for as long as it works. */
export async function* check(backend: Backend, options: CheckOptions): AsyncGenerator<Finding> {
  for await (const { finding } of examine(backend, options)) yield finding;
}

/** A finding with the record that it is about; undefined for an unknown file. */
export interface Examined {
  readonly finding: Finding;
  readonly blob: RecordedBlob | undefined;
}

/** As `check`, with the records that were compared. */
export async function* examine(backend: Backend, options: CheckOptions): AsyncGenerator<Examined> {
  let done = 0;
  const pace = new Pace();
  const step = async (): Promise<void> => {
    await pace.restWhenDue();
    if (++done % STEP === 0) await options.onStep?.(done);
  };
  let readInTurn = 0;
  const onRead = async (bytes: number): Promise<void> => {
    await options.onRead?.(bytes);
    await pace.restWhenDue();
    readInTurn += bytes;
    if (readInTurn < TURN_BYTES) return;
    await nextTurn();
    readInTurn = 0;
  };
  const pages = pagesOf(
    options.after === undefined ? {} : { after: options.after },
    (page) => backend.metadata.blobs.list(page),
    (blob) => blob.digest,
    { size: PAGE },
  );
  for await (const page of pages) {
    for (const blob of page) {
      const kind = await currentProblemOf(backend, blob, { ...options, onRead });
      await step();
      if (kind === undefined) continue;
      const { digest, location } = blob;
      const key = location.kind === "stored" ? location.storageKey : undefined;
      const images = await backend.metadata.manifests.needing(digest, MAX_IMAGES);
      yield { finding: { kind, digest, key, images }, blob };
    }
    await nextTurn();
  }
  for await (const { key, size } of unknownFiles(backend, options.unknownAfterMs ?? UNKNOWN_AFTER_MS, step)) {
    yield { finding: { kind: "unknown file", key, size }, blob: undefined };
  }
}

type Problem = Exclude<Finding["kind"], "unknown file">;

async function currentProblemOf(
  backend: Backend,
  blob: RecordedBlob,
  options: CheckOptions,
): Promise<Problem | undefined> {
  if (blob.corrupt) return "marked damaged";
  const problem = await problemOf(backend, blob, options);
  // Collected, or pushed again under another key, since its row was read: then there is nothing to say of it.
  return problem !== undefined && (await isStillRecorded(backend, blob)) ? problem : undefined;
}

/** How the bytes of a blob differ from its record; undefined when they do not. */
export async function problemOf(
  { store, metadata }: Backend,
  blob: RecordedBlob,
  { deep, onRead }: CheckOptions,
): Promise<Exclude<Problem, "marked damaged"> | undefined> {
  const { location, digest, size } = blob;
  const algorithm = algorithmOf(digest);
  if (location.kind === "inline") {
    if (location.bytes !== size) return "wrong size";
    const payload = deep ? await metadata.blobs.inlinePayload(digest) : undefined;
    if (!payload) return undefined; // not asked for, or gone since
    const isIntact = digestOf(payload, algorithm) === digest;
    await onRead?.(payload.length);
    return isIntact ? undefined : "wrong content";
  }
  const key = location.storageKey as StorageKey;
  const stat = await store.stat(key);
  if (!stat) return "missing";
  if (stat.size !== size) return "wrong size";
  if (!deep) return undefined;
  const digester = Digester.of(algorithm);
  try {
    for await (const piece of store.read(key)) {
      digester.update(piece);
      await onRead?.(piece.length);
    }
  } catch (error) {
    if (await store.stat(key)) throw error;
    return "missing"; // gone since
  }
  return digester.digest(algorithm) === digest ? undefined : "wrong content";
}

async function isStillRecorded({ metadata }: Backend, { digest, location }: RecordedBlob): Promise<boolean> {
  const now = await metadata.blobs.locate(digest);
  if (location.kind === "inline") return now?.kind === "inline";
  return now?.kind === "stored" && now.storageKey === location.storageKey;
}

/** Files that no blob, no upload and no trash names. An intent is recorded before its file: so none of them is wanted. */
async function* unknownFiles(backend: Backend, afterMs: number, step: () => Promise<void>): AsyncGenerator<StoredKey> {
  const { store, metadata, clock } = backend;
  let batch: StoredKey[] = [];
  const unknownIn = async (files: readonly StoredKey[]): Promise<StoredKey[]> => {
    const known = await metadata.blobs.namedKeys(
      files.flatMap(({ key, part }) => (part === undefined ? [key] : [key, part])),
    );
    const unknown: StoredKey[] = [];
    for (const file of files) {
      if (known.has(file.key) || (file.part !== undefined && known.has(file.part))) continue;
      // One that was renamed or removed since it was listed is no finding.
      if (file.isUpload || (await store.stat(file.key as StorageKey))) unknown.push(file);
    }
    return unknown;
  };
  for await (const file of store.list()) {
    await step();
    if (file.modifiedAt > clock.now() - afterMs) continue;
    batch.push(file);
    if (batch.length < STEP) continue;
    yield* await unknownIn(batch);
    batch = [];
  }
  yield* await unknownIn(batch);
}
