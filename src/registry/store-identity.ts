/** Database and blob store belong together: an id that is in both says so. */
import type { Metadata } from "../metadata/metadata.ts";
import type { StoreIdentity } from "../storage/store-identity.ts";
import { pagesOf } from "./pages.ts";

/** Database and store are not of one registry. The message is for the person who starts the program. */
export class StoreIdentityError extends Error {
  override readonly name = "StoreIdentityError";
}

/** The secret of the database that the store has too, as hexadecimal digits. */
export const STORE_ID_SECRET = "store id";

/**
 * Gives an empty store the id of the database. Throws `StoreIdentityError` when they belong to different registries, or one is
 * empty and the other is not: garbage collection would take the blobs of another registry for garbage.
 */
export async function confirmIdentity(identity: StoreIdentity, metadata: Metadata): Promise<void> {
  const { place, setting } = identity;
  const id = Buffer.from(await metadata.secrets.get(STORE_ID_SECRET)).toString("hex");
  const found = await identity.read();
  if (found === id) return;
  if (found !== undefined) {
    throw new StoreIdentityError(
      (await hasStoredBlobs(metadata))
        ? `the ${place} belongs to another database: see that ${setting} is that of this one`
        : `the ${place} belongs to another database, and this one is empty: restore the database of the ${place}, or choose ` +
            `another ${setting}`,
    );
  }
  if (await identity.hasBlobs()) {
    throw new StoreIdentityError(
      `the ${place} holds blobs, but does not say of which database: choose an empty one by ${setting}`,
    );
  }
  if (await hasStoredBlobs(metadata)) {
    throw new StoreIdentityError(
      `the database names blobs, but the ${place} is empty: see that ${setting} is that of this database, or, when its blobs ` +
        "lie elsewhere, set where",
    );
  }
  await identity.write(id);
}

async function hasStoredBlobs({ blobs }: Metadata): Promise<boolean> {
  const pages = pagesOf(
    {},
    (page) => blobs.list(page),
    (blob) => blob.digest,
  );
  for await (const page of pages) if (page.some(({ location }) => location.kind === "stored")) return true;
  return false;
}
