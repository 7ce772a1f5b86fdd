/** A part file on disk. */
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { BUFFER_BYTES } from "./write-buffers.ts";
import type { WriteBuffers } from "./write-buffers.ts";

/** Bytes in the page cache after which a sync is started while more arrive, so that the final sync is short. */
const SYNC_EVERY = 8 * 1024 * 1024;

/** Bytes of a piece that is written as it came: a copy into a buffer costs more than a write of its own. */
const LONG_PIECE = 128 * 1024;

/** Opens a file a second time, for direct writes; rejects where the system or the file system has none. */
export type OpenDirect = (path: string) => Promise<FileHandle>;

/** What a part file needs from its store. */
export interface PartFileContext {
  readonly buffers: Pick<WriteBuffers, "lend" | "giveBack">;
  /** Absent when all writes go through the page cache. */
  readonly openDirect?: OpenDirect | undefined;
  /** Rejects when so many bytes more do not fit. */
  checkRoom(bytes: number): Promise<void>;
  /** Makes the file's name durable. */
  syncName(): Promise<void>;
}

/**
 * Writes a file from a position on. Short pieces are gathered in a buffer: while one is on its way to the disk, the next is
 * filled. Long ones are written as they come. An error is thrown by the call that comes next.
 *
 * With direct writes, a full buffer goes to the disk past the page cache (`O_DIRECT`). What is shorter goes through the
 * cache: the tail, a small file, the bytes up to the next multiple of the buffer's size when an upload goes on somewhere
 * else; and everything where the file system refuses. No page is written both ways. Neither way is durable before `sync`.
 */
export class FilesystemPartFile implements AsyncDisposable {
  readonly #path: string;
  readonly #handle: FileHandle;
  readonly #context: PartFileContext;
  /** The same file for direct writes, once it is large; undefined inside where they are refused. */
  #direct: Promise<FileHandle | undefined> | undefined;
  #buffer: Uint8Array | undefined;
  /** Bytes in the buffer. */
  #buffered = 0;
  /** Where the buffer's first byte belongs. */
  #position: number;
  #writing: Promise<void> = Promise.resolve();
  #syncing: Promise<void> = Promise.resolve();
  /** Bytes in the page cache that no sync has covered. */
  #unsynced = 0;

  constructor(path: string, handle: FileHandle, position: number, context: PartFileContext) {
    this.#path = path;
    this.#handle = handle;
    this.#position = position;
    this.#context = context;
  }

  /** Adds bytes at the end. The buffer may be used again when it resolves. */
  async append(bytes: Uint8Array): Promise<void> {
    if (bytes.length >= LONG_PIECE && !this.#context.openDirect) {
      await this.#writeBuffer();
      await this.#appendUnbuffered(bytes);
      return;
    }
    let rest = bytes;
    while (rest.length > 0) {
      this.#buffer ??= this.#context.buffers.lend();
      if (!this.#buffer) {
        await this.#appendUnbuffered(rest);
        return;
      }
      // Buffers end at multiples of their size, so that all but the first begin at a block of the disk.
      const room = BUFFER_BYTES - ((this.#position + this.#buffered) % BUFFER_BYTES);
      const taken = rest.subarray(0, room);
      this.#buffer.set(taken, this.#buffered);
      this.#buffered += taken.length;
      rest = rest.subarray(taken.length);
      if (taken.length === room) await this.#writeBuffer();
    }
  }

  /** Cuts off what is behind the first `size` bytes. */
  async truncate(size: number): Promise<void> {
    await this.#settled();
    if (size > this.#position) await this.flush();
    this.#dropBuffer(); // after a full disk, what is about to be cut off must not be written first
    await this.#handle.truncate(size);
    this.#position = size;
  }

  /** What was appended can be read when it resolves; rejects when not all of it could be written. */
  async flush(): Promise<void> {
    await this.#writeBuffer();
    await this.#writing;
    await this.#syncing;
  }

  /** Durable when it resolves: the bytes, and the name they are found by. */
  async sync(): Promise<void> {
    await this.flush();
    // Also for what went past the page cache: the size of the file, its blocks, and the disk's own cache.
    await this.#handle.sync();
    await this.#context.syncName();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#settled();
    this.#dropBuffer();
    try {
      await (await this.#direct)?.close();
    } finally {
      await this.#handle.close();
    }
  }

  /** Begins to write what was filled, once the write before it is over. Rejects, and drops it, when the earlier one failed. */
  async #writeBuffer(): Promise<void> {
    await this.#writing.catch((error: unknown) => {
      this.#dropBuffer();
      throw error;
    });
    const [buffer, filled, position] = [this.#buffer, this.#buffered, this.#position];
    if (!buffer || filled === 0) return;
    this.#buffer = undefined;
    this.#buffered = 0;
    this.#position += filled;
    this.#writing = this.#write(buffer.subarray(0, filled), position).finally(() =>
      this.#context.buffers.giveBack(buffer),
    );
    this.#writing.catch(() => undefined); // thrown by the call that awaits it next
  }

  /** The bytes go to the page cache as they came, for the piece is long, or all buffers are lent. */
  async #appendUnbuffered(bytes: Uint8Array): Promise<void> {
    await this.#writing;
    const position = this.#position;
    this.#position += bytes.length;
    this.#writing = this.#write(bytes, position);
    await this.#writing;
  }

  async #write(bytes: Uint8Array, position: number): Promise<void> {
    await this.#context.checkRoom(bytes.length);
    const isWhole = bytes.length === BUFFER_BYTES && position % BUFFER_BYTES === 0;
    const written = isWhole ? await this.#writeDirectly(bytes, position) : 0;
    if (written < bytes.length) await this.#writeThroughCache(bytes.subarray(written), position + written);
  }

  /** Returns how many bytes were written: none where direct writes are refused, or not wanted. */
  async #writeDirectly(bytes: Uint8Array, position: number): Promise<number> {
    const direct = await (this.#direct ??= this.#context.openDirect?.(this.#path).catch(() => undefined));
    if (!direct) return 0;
    try {
      return (await direct.write(bytes, 0, bytes.length, position)).bytesWritten;
    } catch (error) {
      // The disk's blocks are larger than a buffer, or the buffer's memory does not begin at a page.
      if ((error as NodeJS.ErrnoException).code !== "EINVAL") throw error;
      this.#direct = Promise.resolve(undefined);
      await direct.close();
      return 0;
    }
  }

  async #writeThroughCache(bytes: Uint8Array, position: number): Promise<void> {
    for (let written = 0; written < bytes.length;) {
      const left = bytes.length - written;
      written += (await this.#handle.write(bytes, written, left, position + written)).bytesWritten;
    }
    this.#unsynced += bytes.length;
    if (this.#unsynced < SYNC_EVERY) return;
    await this.#syncing;
    this.#unsynced = 0;
    this.#syncing = this.#handle.datasync();
    this.#syncing.catch(() => undefined);
  }

  #dropBuffer(): void {
    if (this.#buffer) this.#context.buffers.giveBack(this.#buffer);
    this.#buffer = undefined;
    this.#buffered = 0;
  }

  /** Resolves once nothing is under way any more, also when it failed. */
  async #settled(): Promise<void> {
    await Promise.allSettled([this.#writing]);
    await Promise.allSettled([this.#syncing]);
    this.#writing = this.#syncing = Promise.resolve();
  }
}

/** See open(2), `O_DIRECT`. */
export async function openDirect(path: string): Promise<FileHandle> {
  const { O_DIRECT, O_WRONLY } = constants; // `O_DIRECT` is there on Linux only
  if (O_DIRECT === undefined) throw new Error("this system always writes through its page cache");
  return await open(path, O_WRONLY | O_DIRECT);
}
