/** Removes bytes that nobody needs any more. */
import type { DraftKey, StorageKey } from "../../storage/blob-store.ts";
import type { Backend } from "../backend.ts";

/** While somebody holds it, no bytes are removed: a copy of the registry is being made. */
export const BACKUP_LEASE = "backup";

/** How many are removed before the event loop gets its turn. */
const STEP = 100;

/** Ends uploads whose time is over, and unlinks what is in the trash long enough. Gives how many of each. */
export async function emptyTrash(backend: Backend): Promise<{ readonly uploads: number; readonly files: number }> {
  const { metadata, store } = backend;
  let uploads = 0;
  for (let step = STEP; step === STEP; uploads += step) step = await metadata.expireUploads(STEP);
  let files = 0;
  while (!(await metadata.leaseHeld(BACKUP_LEASE))) {
    const keys = await metadata.dueTrash(STEP);
    if (keys.length === 0) break;
    // First the bytes, then the row that remembers them: dying in between only means doing it again.
    await store.delete(keys as readonly (DraftKey | StorageKey)[]);
    await metadata.forgetTrash(keys);
    files += keys.length;
  }
  return { uploads, files };
}
