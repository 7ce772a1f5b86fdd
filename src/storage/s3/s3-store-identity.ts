/** Which database the objects of a bucket belong to: an id that is in both. */
import type { StoreIdentity } from "../store-identity.ts";
import { BLOBS, IDENTITY } from "./layout.ts";
import type { Objects } from "./objects.ts";
import type { S3Client } from "./s3-client.ts";
import { isAbsent } from "./s3-error.ts";

/** Milliseconds for which a store that does not answer is asked again. */
const DEADLINE_MS = 5000;

export class S3StoreIdentity implements StoreIdentity {
  readonly place = "bucket";
  readonly setting = "storage.s3.rootdirectory";
  readonly #objects: Objects;
  readonly #client: S3Client;

  constructor(objects: Objects, client: S3Client) {
    this.#objects = objects;
    this.#client = client;
  }

  /** The id in the bucket; undefined when it has none. */
  async read(): Promise<string | undefined> {
    try {
      const text = await this.#client.text({ method: "GET", key: IDENTITY, deadlineMs: DEADLINE_MS });
      const parsed: unknown = JSON.parse(text);
      return typeof parsed === "object" && parsed !== null && "store" in parsed ? String(parsed.store) : "";
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw error;
    }
  }

  async write(store: string): Promise<void> {
    await this.#objects.put(IDENTITY, Buffer.from(JSON.stringify({ store })));
  }

  /** Whether there is any blob. */
  async hasBlobs(): Promise<boolean> {
    for await (const _ of this.#objects.list(BLOBS, 1)) return true;
    return false;
  }
}
