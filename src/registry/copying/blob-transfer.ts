/** Copies the bytes of one blob from a store into another one, and sees that they are what their digest says. */
import { createHash } from "node:crypto";
import { isFileError } from "../../lib/file-error.ts";
import { algorithmOf, encodedOf } from "../../oci/digest.ts";
import type { Digest } from "../../oci/digest.ts";
import { MissingBlobError } from "../../storage/blob-store.ts";
import type { BlobStat, BlobStore, StorageKey } from "../../storage/blob-store.ts";

/** What is wrong with bytes that cannot be copied. */
export type TransferProblem = "missing" | "unreadable" | "wrong size" | "wrong content";

export interface TransferredBlob extends BlobStat {
  readonly key: StorageKey;
}

export interface TransferOptions {
  /** Names the copy: the same words give each blob the same key again, so that what an interrupted copy has done is found. */
  readonly copy: string;
  /** Called with bytes as they arrive. */
  readonly onBytes?: ((bytes: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The key that a blob has in the target of a copy. */
export function keyInCopy(target: BlobStore, digest: Digest, copy: string): StorageKey {
  return target.storageKey(partInCopy(target, digest, copy), digest);
}

function partInCopy(target: BlobStore, digest: Digest, copy: string): ReturnType<BlobStore["partKey"]> {
  const hex = createHash("sha256").update(`${copy} ${digest}`).digest("hex");
  const upload = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join("-");
  return target.partKey(upload);
}

/**
 * Copies a blob, unless an earlier call has done it. Under its key there are all of its bytes, or fewer, or none: the last ones are
 * written once all are known to be right. Returns what is wrong with the bytes of the source, if anything is; rejects when the
 * target does not take them.
 */
export async function transferBlob(
  source: Pick<BlobStore, "read">,
  target: BlobStore,
  blob: { readonly digest: Digest; readonly size: number; readonly storageKey: StorageKey },
  { copy, onBytes, signal }: TransferOptions,
): Promise<TransferredBlob | TransferProblem> {
  const { digest, size, storageKey } = blob;
  const part = partInCopy(target, digest, copy);
  const key = target.storageKey(part, digest);
  const found = await target.stat(key);
  if (found?.size === size) {
    onBytes?.(size);
    return { key, ...found };
  }
  await target.checkRoom(size);
  await using writer = await target.begin(part, { announced: size });
  const hash = createHash(algorithmOf(digest));
  let received = 0;
  let held: Uint8Array | undefined;
  const pieces = source.read(storageKey)[Symbol.asyncIterator]();
  try {
    for (;;) {
      signal?.throwIfAborted();
      const step = await pieces.next().catch(problemOf);
      if (typeof step === "string") return step;
      if (step.done) break;
      if (held) await writer.append(held);
      held = new Uint8Array(step.value); // a reader may use its buffer again
      hash.update(held);
      received += held.length;
      if (received > size) return "wrong size";
      onBytes?.(held.length);
    }
  } finally {
    await pieces.return?.(undefined);
  }
  if (received !== size) return "wrong size";
  if (hash.digest("hex") !== encodedOf(digest)) return "wrong content";
  if (held) await writer.append(held);
  return { key, ...(await writer.commit(key)) };
}

/** Reads a blob to its end; returns what is wrong with it, if anything is. */
export async function verifyBlob(
  source: Pick<BlobStore, "read">,
  { digest, size, storageKey }: { readonly digest: Digest; readonly size: number; readonly storageKey: StorageKey },
  { onBytes, signal }: Pick<TransferOptions, "onBytes" | "signal"> = {},
): Promise<TransferProblem | undefined> {
  const hash = createHash(algorithmOf(digest));
  let received = 0;
  try {
    for await (const piece of source.read(storageKey)) {
      signal?.throwIfAborted();
      hash.update(piece);
      received += piece.length;
      onBytes?.(piece.length);
    }
  } catch (error) {
    return problemOf(error);
  }
  if (received !== size) return "wrong size";
  return hash.digest("hex") === encodedOf(digest) ? undefined : "wrong content";
}

/** What an error of the source says of the blob; one of the way to the source is passed on. */
function problemOf(error: unknown): TransferProblem {
  if (error instanceof MissingBlobError) return "missing";
  if (isFileError(error)) return "unreadable";
  throw error;
}
