/** Removes bytes that nobody needs any more. */
import type { PartKey, StorageKey } from "../../storage/blob-store.ts";
import type { Backend } from "../backend.ts";

/** How many are removed in one step. */
const STEP = 100;

/**
 * Ends uploads whose time is over, and unlinks what is in the trash long enough, or would be within `aheadMs`. Returns how
 * many of each. `onStep` is called after each step with how many files are gone, and waited for; when it returns "stop", the
 * rest is left.
 */
export async function emptyTrash(
  backend: Backend,
  onStep: (files: number) => Promise<"stop" | void> | "stop" | void,
  aheadMs = 0,
): Promise<{ readonly uploads: number; readonly files: number }> {
  const { metadata, store } = backend;
  let [uploads, files] = [0, 0];
  for (let expired = STEP; expired === STEP;) {
    expired = await metadata.uploads.expire(STEP);
    uploads += expired;
    if (expired > 0 && (await onStep(files)) === "stop") return { uploads, files };
  }
  for (;;) {
    const keys = await metadata.trash.due(STEP, aheadMs);
    if (keys.length === 0) break;
    // Or after a power loss a blob would be there again, without its bytes.
    await metadata.flush();
    // First the bytes, then the row that remembers them: dying in between only means doing it again.
    await store.delete(keys as readonly (PartKey | StorageKey)[]);
    await metadata.trash.forget(keys);
    files += keys.length;
    if ((await onStep(files)) === "stop") break;
  }
  return { uploads, files };
}
