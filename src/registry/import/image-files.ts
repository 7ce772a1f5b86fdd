/** The files of an image layout, in a folder or in a tar archive. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { readFile } from "../../lib/read-file.ts";
import type { TarArchive } from "../../lib/tar-archive.ts";
import { algorithmOf, encodedOf } from "../../oci/digest.ts";
import type { Digest } from "../../oci/digest.ts";
import { exceededBound } from "../../oci/json-bounds.ts";
import { SourceError } from "./image-source.ts";

/** The files of a layout; no name that a document contains becomes one of them (image-layout.md, "Content"). */
export type LayoutFile = "oci-layout" | "index.json" | BlobFile;

type BlobFile = `blobs/${string}`;

export function blobFile(digest: Digest): BlobFile {
  return `blobs/${algorithmOf(digest)}/${encodedOf(digest)}`;
}

export interface ImageFiles<Name extends string = LayoutFile> {
  /** Bytes; undefined when there is no such file. */
  size(name: Name): Promise<number | undefined>;
  /** The bytes of a file that is there. */
  read(name: Name): AsyncIterable<Uint8Array>;
}

export function folderFiles(folder: string): ImageFiles {
  return {
    async size(name) {
      const found = await stat(join(folder, name)).catch((error: NodeJS.ErrnoException) => {
        if (error.code === "ENOENT" || error.code === "ENOTDIR") return undefined;
        throw error;
      });
      // A pipe or a device would be read without end.
      return found?.isFile() ? found.size : undefined;
    },
    read: (name) => readFile(join(folder, name)),
  };
}

/** Its names are keys of the list of the archive: any text may be one. */
export function tarFiles(archive: TarArchive): ImageFiles<string> {
  return { size: (name) => Promise.resolve(archive.size(name)), read: (name) => archive.read(name) };
}

/** The bytes of a small file; undefined when there is no such file. Throws `SourceError` when it is larger than `maxBytes`. */
export async function bytesOf<Name extends string>(
  files: ImageFiles<Name>,
  name: Name,
  maxBytes: number,
): Promise<Uint8Array | undefined> {
  const size = await files.size(name);
  if (size === undefined) return undefined;
  if (size > maxBytes) throw new SourceError(`${name} has ${size} bytes, and at most ${maxBytes} are read`);
  const pieces: Uint8Array[] = [];
  for await (const piece of files.read(name)) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** Bytes, values and depth of a document that lists images: some 100,000 of them. */
const MAX_LIST_BYTES = 64 * 1024 * 1024;
const LIST_BOUNDS = { values: 2_000_000, depth: 32 };

/** The value of a JSON document that lists images. Throws `SourceError` when it is not there, or cannot be read. */
export async function listIn<Name extends string>(files: ImageFiles<Name>, name: Name): Promise<unknown> {
  const bytes = await bytesOf(files, name, MAX_LIST_BYTES);
  if (bytes === undefined) throw new SourceError(`there is no ${name}`);
  const text = Buffer.from(bytes).toString();
  if (exceededBound(text, LIST_BOUNDS)) throw new SourceError(`${name} has too many values, or is nested too deep`);
  try {
    return JSON.parse(text);
  } catch {
    throw new SourceError(`${name} is no JSON`);
  }
}

export function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

export function itemsOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? (value as unknown[]) : [];
}
