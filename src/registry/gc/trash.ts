/** Removes bytes that nobody needs any more. */
import { Pace } from "../../lib/pace.ts";
import type { PartKey, StorageKey } from "../../storage/blob-store.ts";
import type { Backend } from "../backend.ts";

/** Uploads that are ended in one step, at most. */
const UPLOADS = { least: 10, most: 200 };
/** Files of one step, which syncs the database once; they are unlinked beside the event loop. */
const FILES = { least: 50, most: 200, stepMs: 10 };

/**
 * Ends uploads whose time is over, and unlinks what is in the trash long enough, or would be within `aheadMs`. Returns how
 * many of each. `onStep` is called after each step with how many files are gone, and waited for; when it returns "stop", or
 * the signal aborts, the rest is left.
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
  for (;;) {
    const unlinked = await unlinking.step((size) => unlinkDue(backend, size, aheadMs));
    if (unlinked === 0) break;
    files += unlinked;
    if (!(await goesOn(unlinking))) break;
  }
  return { uploads, files };
}

async function unlinkDue({ metadata, store }: Backend, limit: number, aheadMs: number): Promise<number> {
  const keys = await metadata.trash.due(limit, aheadMs);
  if (keys.length === 0) return 0;
  // Or after a power loss a blob would be there again, without its bytes.
  await metadata.flush();
  // First the bytes, then the row that remembers them: dying in between only means doing it again.
  await store.delete(keys as readonly (PartKey | StorageKey)[]);
  await metadata.trash.forget(keys);
  return keys.length;
}
