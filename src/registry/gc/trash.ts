/** Removes the bytes of unreferenced blobs and ended uploads. */
import { Pace } from "../../lib/pace.ts";
import type { PartKey, StorageKey } from "../../storage/blob-store.ts";
import type { Backend } from "../backend.ts";

/** Uploads that are ended in one step, at most. */
const UPLOADS = { least: 10, most: 200 };
/** Files that cannot be unlinked are passed over, so that they keep none of the others; beyond so many all is left. */
const MOST_FAILURES = 1000;
/** Files of one step, which syncs the database once; they are unlinked beside the event loop. */
const FILES = { least: 50, most: 200, stepMs: 10 };

/**
 * Ends uploads whose time is over, and unlinks what is in the trash long enough, or would be within `aheadMs`. Returns how
 * many of each. `onStep` is called after each step with how many files are gone, and waited for; when it returns "stop", or
 * the signal aborts, the rest is left. Rejects, after all others are gone, when some files could not be unlinked.
 */
export async function emptyTrash(
  backend: Backend,
  onStep: (files: number) => Promise<"stop" | void> | "stop" | void,
  { aheadMs = 0, signal }: { readonly aheadMs?: number; readonly signal?: AbortSignal | undefined } = {},
): Promise<{ readonly uploads: number; readonly files: number }> {
  const { metadata } = backend;
  const commits = (): number => metadata.lastCommit();
  let [uploads, files] = [0, 0];
  const goesOn = async (pace: Pace): Promise<boolean> => (await onStep(files)) !== "stop" && (await pace.rest());

  const expiry = new Pace({ ...UPLOADS, commits, signal });
  for (;;) {
    const expired = await expiry.step((size) => metadata.uploads.expire(size));
    if (expired === 0) break;
    uploads += expired;
    if (!(await goesOn(expiry))) return { uploads, files };
  }
  const unlinking = new Pace({ ...FILES, commits, signal });
  const failures: Failures = new Map();
  while (failures.size < MOST_FAILURES) {
    const unlinked = await unlinking.step((size) => unlinkDue(backend, size, aheadMs, failures));
    if (unlinked === undefined) break;
    files += unlinked;
    if (!(await goesOn(unlinking))) break;
  }
  const [failure] = failures.values();
  if (failures.size > 0) throw failure;
  return { uploads, files };
}

/** Keys whose bytes could not be removed, and why. */
type Failures = Map<string, unknown>;

/** Returns how many files are gone; undefined when none but those of `failures` are due. */
async function unlinkDue(
  { metadata, store }: Backend,
  limit: number,
  aheadMs: number,
  failures: Failures,
): Promise<number | undefined> {
  const due = await metadata.trash.due(limit + failures.size, aheadMs);
  const keys = due.filter((key) => !failures.has(key));
  if (keys.length === 0) return undefined;
  // Or after a power loss a blob would be there again, without its bytes.
  await metadata.flush();
  // First the bytes, then the row that remembers them: dying in between only means doing it again.
  const gone = await remove(store, keys, failures);
  await metadata.trash.forget(gone);
  return gone.length;
}

/** Returns the keys whose bytes are gone, and notes the others. */
async function remove(
  store: Backend["store"],
  keys: readonly string[],
  failures: Failures,
): Promise<readonly string[]> {
  try {
    await store.delete(keys as readonly (PartKey | StorageKey)[]);
  } catch {
    for (const key of keys) {
      await store.delete([key as StorageKey]).catch((error: unknown) => failures.set(key, error));
    }
  }
  return keys.filter((key) => !failures.has(key));
}
