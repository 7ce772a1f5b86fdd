/** A draft in a file. */
import type { FileHandle } from "node:fs/promises";
import type { Draft } from "../blob-store.ts";

/** Pieces from the socket are some ten KiB; writing them in larger ones costs a third of the time. */
const BUFFER_SIZE = 512 * 1024;

/** What a draft asks of the folder that it lies in. */
export interface DraftFolder {
  /** Rejects when so many bytes more do not fit. */
  checkRoom(bytes: number): Promise<void>;
  /** Makes the file's name durable. */
  syncName(): Promise<void>;
}

/** Writes a file from a position on, in large pieces. */
export class FileDraft implements Draft {
  readonly #handle: FileHandle;
  readonly #folder: DraftFolder;
  #buffer: Uint8Array | undefined;
  #buffered = 0;
  /** Where the buffer's first byte belongs. */
  #position: number;

  constructor(handle: FileHandle, position: number, folder: DraftFolder) {
    this.#handle = handle;
    this.#position = position;
    this.#folder = folder;
  }

  async append(bytes: Uint8Array): Promise<void> {
    let rest = bytes;
    while (rest.length > 0) {
      if (this.#buffered === 0 && rest.length >= BUFFER_SIZE) {
        await this.#write(rest);
        return;
      }
      this.#buffer ??= new Uint8Array(BUFFER_SIZE);
      const taken = rest.subarray(0, BUFFER_SIZE - this.#buffered);
      this.#buffer.set(taken, this.#buffered);
      this.#buffered += taken.length;
      rest = rest.subarray(taken.length);
      if (this.#buffered === BUFFER_SIZE) await this.#flush();
    }
  }

  async truncate(size: number): Promise<void> {
    if (size > this.#position) await this.#flush();
    this.#buffered = 0; // after a full disk, what is about to be cut off must not be written first
    await this.#handle.truncate(size);
    this.#position = size;
  }

  async sync(): Promise<void> {
    await this.#flush();
    await this.#handle.sync();
    await this.#folder.syncName();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
  }

  async #flush(): Promise<void> {
    if (!this.#buffer || this.#buffered === 0) return;
    const filled = this.#buffer.subarray(0, this.#buffered);
    this.#buffered = 0;
    await this.#write(filled);
  }

  async #write(bytes: Uint8Array): Promise<void> {
    await this.#folder.checkRoom(bytes.length);
    let written = 0;
    while (written < bytes.length) {
      const { bytesWritten } = await this.#handle.write(bytes, written, bytes.length - written, this.#position);
      written += bytesWritten;
      this.#position += bytesWritten;
    }
  }
}
