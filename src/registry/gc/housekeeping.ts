/** Removes what nobody needs any more, in small steps beside the serving. */
import type { DraftKey, StorageKey } from "../../storage/blob-store.ts";
import type { Backend } from "../backend.ts";

const STEP = 100;

/** Ends uploads whose time is over, and removes bytes that were thrown away. Gives how many of each. */
export async function tidy(backend: Backend): Promise<{ readonly uploads: number; readonly files: number }> {
  let uploads = 0;
  for (let step = STEP; step === STEP; uploads += step) step = await backend.metadata.expireUploads(STEP);
  let files = 0;
  for (;;) {
    const keys = await backend.metadata.dueTrash(STEP);
    if (keys.length === 0) return { uploads, files };
    // First the bytes, then the row that remembers them: dying in between only means doing it again.
    await backend.store.delete(keys as readonly (DraftKey | StorageKey)[]);
    await backend.metadata.forgetTrash(keys);
    files += keys.length;
  }
}
