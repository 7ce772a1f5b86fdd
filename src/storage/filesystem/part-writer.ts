/** Writes the bytes of an upload into its part file. */
import type { BlobStat, PartState, PartWriter, StorageKey } from "../blob-store.ts";
import type { FilesystemPartFile } from "./part-file.ts";

export class FilesystemPartWriter implements PartWriter {
  readonly #file: FilesystemPartFile;
  readonly #commit: (key: StorageKey) => Promise<BlobStat>;
  /** Bytes that the file has at least. */
  #size: number;
  /** Bytes of the last checkpoint. */
  #counted: number;
  #isCommitted = false;

  /** `file` has `size` bytes, which count; `commit` makes it a blob. */
  constructor(file: FilesystemPartFile, size: number, commit: (key: StorageKey) => Promise<BlobStat>) {
    this.#file = file;
    this.#size = this.#counted = size;
    this.#commit = commit;
  }

  async append(bytes: Uint8Array): Promise<void> {
    this.#size += bytes.length;
    await this.#file.append(bytes);
  }

  async checkpoint(): Promise<PartState | undefined> {
    await this.#file.sync();
    this.#counted = this.#size;
    return undefined; // the key is the name of the file
  }

  async commit(key: StorageKey): Promise<BlobStat> {
    await this.#file.flush();
    const stat = await this.#commit(key);
    this.#isCommitted = true;
    return stat;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Bytes that do not count do no harm, for `resume` cuts them off; but on a full disk others need the room.
    if (!this.#isCommitted && this.#size > this.#counted) {
      await this.#file.truncate(this.#counted).catch(() => undefined);
    }
    await this.#file[Symbol.asyncDispose]();
  }
}
