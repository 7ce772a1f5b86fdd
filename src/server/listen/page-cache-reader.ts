/** Reads of files that are in the page cache of the system, at once and without a thread. */
import { closeSync, openSync } from "node:fs";
import { dlopen, ptr } from "bun:ffi";
import type { FileLocation } from "../../lib/byte-location.ts";

/** Bytes that are read at once, at most. */
const MAX_BYTES = 256 * 1024;

/** Files that are open at the same time, at most. */
const MAX_FILES = 64;

/** Milliseconds that a file stays open: one that was deleted takes its room on the disk for so much longer. */
const OPEN_MS = 1000;

/** "Do not wait for data which is not immediately available" (preadv2(2)). */
const RWF_NOWAIT = 8;

/** What the system calls its C library: glibc, and musl. */
const C_LIBRARIES = ["libc.so.6", `libc.musl-${process.arch === "arm64" ? "aarch64" : "x86_64"}.so.1`];

type Preadv2 = (file: number, vector: number, count: number, offset: number, flags: number) => number | bigint;

interface OpenFile {
  readonly descriptor: number;
  readonly openedAt: number;
}

/**
 * The runtime opens a file for each response and reads it on another thread, which costs more than small parts of a file that
 * is in memory anyhow. This reads such a part with one system call that never waits for a disk, through a descriptor that
 * stays open for a second. It knows no more than the path: whether the file is still the one of the blob is asked before.
 */
export class PageCacheReader implements Disposable {
  readonly #buffer = Buffer.allocUnsafeSlow(MAX_BYTES);
  /** An `iovec`: the address of the buffer, and a length. */
  readonly #vector = new BigUint64Array(2);
  readonly #files = new Map<string, OpenFile>();
  #preadv2: Preadv2 | undefined;
  #isAbsent = process.platform !== "linux";
  #timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * Returns the bytes, which are good until the next call; undefined when some of them would have to be read from the disk, when
   * they are too many, or when the file cannot be opened.
   */
  read({ path, range: { start, end } }: FileLocation): Uint8Array | undefined {
    const length = end - start + 1;
    if (this.#isAbsent || length > MAX_BYTES) return undefined;
    const preadv2 = (this.#preadv2 ??= this.#load());
    const descriptor = this.#descriptorOf(path);
    if (!preadv2 || descriptor === undefined) return undefined;
    this.#vector[1] = BigInt(length);
    const count = Number(preadv2(descriptor, ptr(this.#vector), 1, start, RWF_NOWAIT));
    return count === length ? this.#buffer.subarray(0, length) : undefined;
  }

  /** Closes all files. */
  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#closeOpenedBefore(Infinity);
  }

  #load(): Preadv2 | undefined {
    for (const library of C_LIBRARIES) {
      try {
        const { symbols } = dlopen(library, {
          preadv2: { args: ["i32", "ptr", "i32", "i64", "i32"], returns: "i64" },
        });
        this.#vector[0] = BigInt(ptr(this.#buffer));
        return symbols.preadv2;
      } catch {
        // The next one, or none: old versions of musl lack the call.
      }
    }
    this.#isAbsent = true;
    return undefined;
  }

  #descriptorOf(path: string): number | undefined {
    const now = performance.now();
    const open = this.#files.get(path);
    if (open && now - open.openedAt < OPEN_MS) return open.descriptor;
    if (open) this.#close(path, open);
    try {
      const descriptor = openSync(path, "r");
      const [oldest] = this.#files;
      if (oldest && this.#files.size >= MAX_FILES) this.#close(...oldest);
      this.#files.set(path, { descriptor, openedAt: now });
      this.#timer ??= setTimeout(() => this.#sweep(), OPEN_MS).unref();
      return descriptor;
    } catch {
      return undefined; // the runtime meets the same error, and it is answered and logged
    }
  }

  #sweep(): void {
    this.#timer = undefined;
    this.#closeOpenedBefore(performance.now() - OPEN_MS);
    if (this.#files.size > 0) this.#timer = setTimeout(() => this.#sweep(), OPEN_MS).unref();
  }

  #closeOpenedBefore(moment: number): void {
    for (const [path, open] of this.#files) if (open.openedAt <= moment) this.#close(path, open);
  }

  #close(path: string, { descriptor }: OpenFile): void {
    this.#files.delete(path);
    closeSync(descriptor);
  }
}
