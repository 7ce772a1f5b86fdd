/** Copies the bytes of all blobs that the copy of a database names, several at a time. */
import { createHash } from "node:crypto";
import { algorithmOf, encodedOf } from "../../oci/digest.ts";
import type { Digest } from "../../oci/digest.ts";
import type { Metadata } from "../../metadata/metadata.ts";
import type { RecordedBlob } from "../../metadata/blobs.ts";
import type { BlobStore, StorageKey } from "../../storage/blob-store.ts";
import { pagesOf } from "../pages.ts";
import { keyInCopy, transferBlob, verifyBlob } from "./blob-transfer.ts";
import type { TransferProblem } from "./blob-transfer.ts";

/** Blobs that are copied at the same time. */
const COPIES_AT_ONCE = 8;

/** Where the bytes of a blob are after a copy. */
export interface CopiedBlob {
  readonly digest: Digest;
  readonly storageKey: StorageKey;
  readonly fingerprint: string;
  /** Whether there are none, or others, because the source has none or others. */
  readonly corrupt: boolean;
}

export interface BlobsCopy {
  /** The copy of the database. */
  readonly metadata: Metadata;
  readonly source: Pick<BlobStore, "read" | "stat">;
  /** Undefined when the bytes stay where they are: then they are only looked at. */
  readonly target: BlobStore | undefined;
  /** Names the copy (`TransferOptions`). */
  readonly copy: string;
  /** Puts a file of the source into the target under its own key, without copying its bytes. */
  readonly link?: ((key: StorageKey, size: number) => Promise<TransferProblem | undefined>) | undefined;
  /** What an earlier run has copied. */
  readonly done?: ((digests: readonly Digest[]) => ReadonlyMap<Digest, CopiedBlob>) | undefined;
  /** Records what was copied. */
  record(copied: readonly CopiedBlob[]): Promise<void>;
  /** Called with what was done since it was called last. */
  readonly onProgress?: ((blobs: number, bytes: number) => void) | undefined;
  readonly onProblem: (kind: TransferProblem | "marked damaged", blob: RecordedBlob) => Promise<void>;
  readonly signal?: AbortSignal | undefined;
}

export interface CopyCounts {
  /** All of them. */
  readonly blobs: number;
  readonly bytes: number;
  /** Of those, the ones that lie in the store, and not in the database. */
  readonly stored: number;
  readonly problems: number;
}

/** Copies what is not copied yet. Rejects when the target does not take it. */
export async function copyBlobs(given: BlobsCopy): Promise<CopyCounts> {
  const { metadata, signal } = given;
  let [blobs, bytes, stored, problems] = [0, 0, 0, 0];
  const copy: BlobsCopy = {
    ...given,
    async onProblem(...problem) {
      problems++;
      await given.onProblem(...problem);
    },
  };
  const pages = pagesOf(
    {},
    (page) => metadata.blobs.list(page),
    (blob) => blob.digest,
  );
  for await (const page of pages) {
    const done = copy.done?.(page.map(({ digest }) => digest));
    const copied: CopiedBlob[] = [];
    const left = page.values();
    const copyLeft = async (): Promise<void> => {
      for (const blob of left) {
        signal?.throwIfAborted();
        blobs++;
        bytes += blob.size;
        if (blob.location.kind === "stored") stored++;
        const before = done?.get(blob.digest);
        const now = before && !before.corrupt ? before : await copyBlob(copy, blob);
        if (now === before) copy.onProgress?.(0, blob.size);
        if (now) copied.push(now);
        copy.onProgress?.(1, 0);
      }
    };
    const workers = await Promise.allSettled(Array.from({ length: COPIES_AT_ONCE }, copyLeft));
    await copy.record(copied);
    const failed = workers.find((worker) => worker.status === "rejected");
    if (failed) throw failed.reason;
  }
  return { blobs, bytes, stored, problems };
}

/** Returns where the bytes are; undefined when they are in the database and right. */
async function copyBlob(copy: BlobsCopy, blob: RecordedBlob): Promise<CopiedBlob | undefined> {
  const { digest, size, location } = blob;
  const { metadata, source, target, signal } = copy;
  const onBytes = (bytes: number): void => copy.onProgress?.(0, bytes);
  if (location.kind === "inline") {
    const payload = await metadata.blobs.inlinePayload(digest);
    onBytes(size);
    const isIntact = payload && createHash(algorithmOf(digest)).update(payload).digest("hex") === encodedOf(digest);
    if (!isIntact) await copy.onProblem("wrong content", blob);
    return undefined;
  }
  const storageKey = location.storageKey as StorageKey;
  const named = { digest, size, storageKey };
  const corrupt = async (kind: TransferProblem | "marked damaged"): Promise<CopiedBlob> => {
    await copy.onProblem(kind, blob);
    const key = target && !copy.link ? keyInCopy(target, digest, copy.copy) : storageKey;
    return { digest, storageKey: key, fingerprint: "", corrupt: true };
  };
  if (blob.corrupt) return await corrupt("marked damaged");
  if (!target) {
    const found = await source.stat(storageKey);
    onBytes(size);
    if (found?.size === size) return undefined;
    return await corrupt(found ? "wrong size" : "missing");
  }
  if (copy.link) {
    const problem = (await verifyBlob(source, named, { onBytes, signal })) ?? (await copy.link(storageKey, size));
    if (problem !== undefined) return await corrupt(problem);
    const fingerprint = (await target.stat(storageKey))?.fingerprint ?? "";
    return { digest, storageKey, fingerprint, corrupt: false };
  }
  const result = await transferBlob(source, target, named, { copy: copy.copy, onBytes, signal });
  if (typeof result === "string") return await corrupt(result);
  return { digest, storageKey: result.key, fingerprint: result.fingerprint, corrupt: false };
}

/** Keys that are looked up at once. */
const KEYS_AT_ONCE = 1000;

/**
 * Removes what the target has and the copy does not name: of blobs whose copying was interrupted, or that went meanwhile. `forget` is
 * called with keys before their bytes are removed.
 */
export async function removeUnnamed(
  { blobs }: Metadata,
  target: BlobStore,
  forget: (keys: readonly StorageKey[]) => void = () => {},
): Promise<number> {
  let removed = 0;
  let waiting: StorageKey[] = [];
  const removeWaiting = async (): Promise<void> => {
    const named = await blobs.namedKeys(waiting);
    const unnamed = waiting.filter((key) => !named.has(key));
    if (unnamed.length > 0) forget(unnamed);
    await target.delete(unnamed);
    removed += unnamed.length;
    waiting = [];
  };
  for await (const { key } of target.list()) {
    waiting.push(key as StorageKey);
    if (waiting.length === KEYS_AT_ONCE) await removeWaiting();
  }
  await removeWaiting();
  return removed;
}
