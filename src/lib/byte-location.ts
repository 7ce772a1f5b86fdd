/** Where bytes are to be had, from the storage to the socket. */
import type { ByteRange } from "./byte-range.ts";
import { readFile } from "./read-file.ts";

/** A part of a file, which the kernel can send. */
export interface FileLocation {
  readonly kind: "file";
  readonly path: string;
  readonly range: ByteRange;
}

/** Behind a stream. */
export interface StreamLocation {
  readonly kind: "stream";
  open(range?: ByteRange): AsyncIterable<Uint8Array>;
  /** Whether it is open, and all of it is to be read once. */
  readonly isOpen?: boolean;
  /** Where a client may GET all of the bytes itself for a while. Absent when it may not. */
  address?(): Promise<URL>;
}

/** In memory, in a file, or behind a stream. Nothing is open yet. */
export type ByteLocation = { readonly kind: "bytes"; readonly bytes: Uint8Array } | FileLocation | StreamLocation;

/** Identifies a version of the bytes under a key: a storage compares it to detect modification. */
export interface Fingerprint {
  readonly key: string;
  /** Made by the storage; opaque. */
  readonly value: string;
}

/** Returns where the bytes of a range are; both ends are counted in, from the first byte of `location`. */
export function partOf(location: ByteLocation, range: ByteRange): ByteLocation {
  switch (location.kind) {
    case "bytes":
      return { kind: "bytes", bytes: location.bytes.subarray(range.start, range.end + 1) };
    case "file": {
      const { start } = location.range;
      return { ...location, range: { start: start + range.start, end: start + range.end } };
    }
    case "stream":
      return { kind: "stream", open: () => location.open(range) };
  }
}

/** Reads the bytes, piece by piece as the reader takes them. */
export function readLocation(location: ByteLocation): AsyncIterable<Uint8Array> {
  switch (location.kind) {
    case "bytes":
      return once(location.bytes);
    case "file":
      return readFile(location.path, location.range);
    case "stream":
      return location.open();
  }
}

/** Yields bytes that are at hand, where a stream is expected. */
export async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
