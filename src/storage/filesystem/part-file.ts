/** A part file on disk. */
import type { FileHandle } from "node:fs/promises";
import type { PartFile } from "../blob-store.ts";

/** Pieces from the socket are some ten KiB; writing them in larger ones costs a third of the time. */
const BUFFER_SIZE = 512 * 1024;

/** Bytes after which the disk is told to write while more arrive: at the end little is left to wait for. */
const SYNC_EVERY = 8 * 1024 * 1024;

/** What a part file asks of the folder that it lies in. */
export interface PartFolder {
  /** Rejects when so many bytes more do not fit. */
  checkRoom(bytes: number): Promise<void>;
  /** Makes the file's name durable. */
  syncName(): Promise<void>;
}

/**
 * Writes a file from a position on, in large pieces: while one is on its way to the disk, the next is filled. What fails on
 * the way is told by the call that comes next.
 */
export class FilesystemPartFile implements PartFile {
  readonly #handle: FileHandle;
  readonly #folder: PartFolder;
  /** What is being filled, and what may still be being written. */
  #buffers: [Uint8Array, Uint8Array] | undefined;
  #buffered = 0;
  /** Where the next write belongs. */
  #position: number;
  #writing: Promise<void> = Promise.resolve();
  #syncing: Promise<void> = Promise.resolve();
  #unsynced = 0;

  constructor(handle: FileHandle, position: number, folder: PartFolder) {
    this.#handle = handle;
    this.#position = position;
    this.#folder = folder;
  }

  async append(bytes: Uint8Array): Promise<void> {
    let rest = bytes;
    while (rest.length > 0) {
      this.#buffers ??= [new Uint8Array(BUFFER_SIZE), new Uint8Array(BUFFER_SIZE)];
      const taken = rest.subarray(0, BUFFER_SIZE - this.#buffered);
      this.#buffers[0].set(taken, this.#buffered);
      this.#buffered += taken.length;
      rest = rest.subarray(taken.length);
      if (this.#buffered === BUFFER_SIZE) await this.#writeBuffer();
    }
  }

  async truncate(size: number): Promise<void> {
    await this.#settled();
    if (size > this.#position) await this.flush();
    this.#buffered = 0; // after a full disk, what is about to be cut off must not be written first
    await this.#handle.truncate(size);
    this.#position = size;
  }

  async flush(): Promise<void> {
    await this.#writeBuffer();
    await this.#writing;
    await this.#syncing;
  }

  async sync(): Promise<void> {
    await this.flush();
    await this.#handle.sync();
    await this.#folder.syncName();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#settled();
    await this.#handle.close();
  }

  /** Begins to write what was filled, once the write before it is over. */
  async #writeBuffer(): Promise<void> {
    await this.#writing;
    if (!this.#buffers || this.#buffered === 0) return;
    const [filled, free] = this.#buffers;
    const bytes = filled.subarray(0, this.#buffered);
    this.#buffers = [free, filled];
    this.#buffered = 0;
    this.#writing = this.#write(bytes);
    this.#writing.catch(() => undefined); // told by who awaits it next
  }

  async #write(bytes: Uint8Array): Promise<void> {
    await this.#folder.checkRoom(bytes.length);
    let written = 0;
    while (written < bytes.length) {
      const { bytesWritten } = await this.#handle.write(bytes, written, bytes.length - written, this.#position);
      written += bytesWritten;
      this.#position += bytesWritten;
    }
    this.#unsynced += written;
    if (this.#unsynced < SYNC_EVERY) return;
    await this.#syncing;
    this.#unsynced = 0;
    this.#syncing = this.#handle.datasync();
    this.#syncing.catch(() => undefined);
  }

  /** Nothing is under way any more, whether it went well or not. */
  async #settled(): Promise<void> {
    await Promise.allSettled([this.#writing]);
    await Promise.allSettled([this.#syncing]);
    this.#writing = this.#syncing = Promise.resolve();
  }
}
