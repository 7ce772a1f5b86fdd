/** Objects of another program in the bucket, by the paths that it gave them as files. */
import type { TreeEntry, TreeFile, TreeFileStat, TreeListedFile, WritableTreeFiles } from "../tree-files.ts";
import type { Objects } from "./objects.ts";
import type { S3Client } from "./s3-client.ts";
import { S3Error, isAbsent } from "./s3-error.ts";

/** Milliseconds in which the body of a small object must have come. */
const BODY_MS = 30_000;

/** Bodies that break off are asked for again so often. */
const MOST_BREAKS = 5;

/** Objects are deleted so many at the same time. */
const DELETES_AT_ONCE = 8;

/** Larger objects cannot be copied by one request (S3's own rule), but in parts. */
const MOST_COPIED_BYTES = 5 * 1024 ** 3;
const COPIED_PART_BYTES = 1024 ** 3;

export class BucketFiles implements WritableTreeFiles {
  readonly place = "bucket";
  readonly #client: S3Client;
  readonly #objects: Objects;

  constructor(client: S3Client, objects: Objects) {
    this.#client = client;
    this.#objects = objects;
  }

  async list(folder: string): Promise<readonly TreeEntry[]> {
    const entries: TreeEntry[] = [];
    for await (const { name, isFolder } of this.#objects.listFolder(`${folder}/`)) entries.push({ name, isFolder });
    return entries;
  }

  async *listAll(folder: string): AsyncGenerator<TreeListedFile> {
    for await (const { key, size, modifiedAt } of this.#objects.list(`${folder}/`)) {
      if (!key.endsWith("/")) yield { path: key, size, mtimeMs: modifiedAt };
    }
  }

  async holdsFile(folder: string): Promise<boolean> {
    for await (const { key } of this.#objects.list(`${folder}/`, 2)) if (!key.endsWith("/")) return true;
    return false;
  }

  async stat(path: string): Promise<TreeFileStat | undefined> {
    const found = await this.#objects.head(path);
    return found && { size: found.size, mtimeMs: found.modifiedAt };
  }

  async read(path: string, maxBytes: number): Promise<TreeFile | "too large" | undefined> {
    for (let breaks = 0; ;) {
      const ending = AbortSignal.timeout(BODY_MS);
      const answer = await this.#client.send({ method: "GET", key: path, signal: ending }).catch(ignoreAbsent);
      if (!answer) return undefined;
      const size = Number(answer.headers.get("content-length"));
      if (size > maxBytes) {
        await answer.body?.cancel();
        return "too large";
      }
      const bytes = await answer.bytes().catch(() => undefined);
      if (bytes?.length === size) return { bytes, mtimeMs: Date.parse(answer.headers.get("last-modified") ?? "") };
      if ((breaks += 1) > MOST_BREAKS)
        throw new S3Error(`S3 GET ${path}`, 200, "", "the answer breaks off again and again");
    }
  }

  /** An object that was moved to an archive is not given out; all else that S3 refuses is not about one object. */
  isUnreadable(error: unknown): boolean {
    return error instanceof S3Error && error.s3Code === "InvalidObjectState";
  }

  async write(path: string, content: Uint8Array): Promise<boolean> {
    const found = await this.read(path, content.length);
    if (typeof found === "object" && Buffer.compare(found.bytes, content) === 0) return false;
    await this.#objects.put(path, content);
    return true;
  }

  async link(key: string, path: string, size: number): Promise<boolean> {
    if (key === path || (await this.stat(path))?.size === size) return false;
    if (size <= MOST_COPIED_BYTES) await this.#objects.copy(key, path);
    else await this.#copyInParts(key, path, size);
    return true;
  }

  async remove(path: string): Promise<void> {
    await this.#objects.delete(path);
    let keys: string[] = [];
    const removeListed = async (): Promise<void> => {
      const left = keys.values();
      keys = [];
      const removeLeft = async (): Promise<void> => {
        for (const key of left) await this.#objects.delete(key);
      };
      await Promise.all(Array.from({ length: DELETES_AT_ONCE }, removeLeft));
    };
    for await (const { key } of this.#objects.list(`${path}/`)) if (keys.push(key) >= 1000) await removeListed();
    await removeListed();
  }

  async #copyInParts(from: string, to: string, size: number): Promise<void> {
    const upload = await this.#objects.createUpload(to);
    try {
      const etags: string[] = [];
      for (let start = 0; start < size; start += COPIED_PART_BYTES) {
        const range = { start, end: Math.min(start + COPIED_PART_BYTES, size) - 1 };
        etags.push(await this.#objects.copyPart(from, range, { key: to, upload, number: etags.length + 1 }));
      }
      await this.#objects.completeUpload(to, upload, etags);
    } catch (error) {
      await this.#objects.abortUpload(to, upload).catch(() => undefined); // the first error says more
      throw error;
    }
  }
}

function ignoreAbsent(error: unknown): undefined {
  if (!isAbsent(error)) throw error;
}
