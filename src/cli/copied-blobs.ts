/** Copies the blobs that the copy of a database names into the store of another registry. */
import { systemClock } from "../lib/clock.ts";
import { Metadata } from "../metadata/metadata.ts";
import { copyBlobs, removeUnnamed } from "../registry/copying/blobs-copy.ts";
import type { CopyCounts } from "../registry/copying/blobs-copy.ts";
import type { TransferProblem } from "../registry/copying/blob-transfer.ts";
import type { BlobStore, StorageKey } from "../storage/blob-store.ts";
import type { CopyProgress } from "./copy-progress.ts";
import { findingText } from "./finding-text.ts";

/** Images that are named for each blob that is missing. */
const MAX_IMAGES = 100;

export interface CopiedBlobsOptions {
  /** The copy of the database, which no other program has open; it then says where the blobs lie in the target. */
  readonly database: string;
  readonly source: Pick<BlobStore, "read" | "stat">;
  /** Undefined when the bytes stay where they are. */
  readonly target: BlobStore | undefined;
  /** Names the copy: what was copied under the same name is found again. */
  readonly copy: string;
  readonly link?: ((key: StorageKey, size: number) => Promise<TransferProblem | undefined>) | undefined;
  /** A file that remembers what was copied, for the next run; none when absent. */
  readonly journal?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly progress: CopyProgress;
  /** Called with lines for a person about a blob that is not copied. */
  readonly report: (lines: string) => void;
}

export async function copyBlobsOf(options: CopiedBlobsOptions): Promise<CopyCounts> {
  const { database, source, target, copy, link, journal: path, signal, progress, report } = options;
  const { blobTotals, openCopy, relocateBlobs } = await import("../metadata/sqlite/snapshot.ts");
  const { CopyJournal } = await import("../metadata/sqlite/copy-journal.ts");
  using journal = path === undefined ? undefined : new CopyJournal(path);
  const engine = await openCopy(database);
  const metadata = new Metadata(engine, systemClock);
  try {
    const { blobs, bytes } = await blobTotals(engine);
    const done = { blobs: 0, bytes: 0 };
    const counts = await copyBlobs({
      metadata,
      source,
      target,
      copy,
      link,
      signal,
      ...(journal && {
        done: (digests) =>
          new Map(
            Array.from(journal.find(digests), ([digest, blob]) => [
              digest,
              { ...blob, storageKey: blob.storageKey as StorageKey, corrupt: false },
            ]),
          ),
      }),
      async record(copied) {
        journal?.add(copied.filter(({ corrupt }) => !corrupt));
        await relocateBlobs(engine, copied);
      },
      onProgress(moreBlobs, moreBytes) {
        done.blobs += moreBlobs;
        done.bytes += moreBytes;
        progress.blobs(done, { blobs, bytes });
      },
      async onProblem(kind, { digest, location }) {
        const images = await metadata.manifests.needing(digest, MAX_IMAGES);
        progress.end();
        const key = location.kind === "stored" ? location.storageKey : undefined;
        report(findingText({ kind, digest, key, images }));
      },
    });
    if (target) await removeUnnamed(metadata, target, (keys) => journal?.forget(keys));
    progress.end();
    return counts;
  } finally {
    await metadata.close();
  }
}
