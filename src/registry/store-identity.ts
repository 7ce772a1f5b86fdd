/** Database and blob store belong together: an id that is in both says so. */
import type { Metadata } from "../metadata/metadata.ts";
import type { StoreIdentity } from "../storage/store-identity.ts";
import { pagesOf } from "./pages.ts";

/** Database and store are not of one registry. The message is for the person who starts the program. */
export class StoreIdentityError extends Error {
  override readonly name = "StoreIdentityError";
}

const SECRET = "store id";

/**
 * Gives an empty store the id of the database. Throws `StoreIdentityError` when they belong to different registries, or one is
 * empty and the other is not: garbage collection would take the blobs of another registry for garbage.
 */
export async function confirmIdentity(identity: StoreIdentity, metadata: Metadata): Promise<void> {
  const id = Buffer.from(await metadata.secrets.get(SECRET)).toString("hex");
  const found = await identity.read();
  if (found === id) return;
  if (found !== undefined) {
    throw new StoreIdentityError(
      (await hasStoredBlobs(metadata))
        ? "the bucket belongs to another database: use the bucket and storage.s3.rootdirectory of this one"
        : "the bucket belongs to another database, and this one is empty: restore the database of the bucket, or choose " +
            "another storage.s3.rootdirectory",
    );
  }
  if (await identity.hasBlobs()) {
    throw new StoreIdentityError(
      "the bucket holds blobs, but does not say of which database (stowage.json): choose an empty storage.s3.rootdirectory",
    );
  }
  if (await hasStoredBlobs(metadata)) {
    throw new StoreIdentityError(
      "the database names blobs, but the bucket is empty: use the bucket and storage.s3.rootdirectory of this database, or, when " +
        "the blobs lie in its data folder, remove storage.s3",
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
