/** Where an OCI image layout is written to (image-spec, image-layout.md): a folder, or a tar archive. */
import type { Digest } from "../../oci/digest.ts";

/** What is to be exported is not there or not intact, or cannot be written; the message says what to do. */
export class ExportError extends Error {
  override readonly name = "ExportError";
}

/** The export as a whole cannot go on. */
export class ExportAbortedError extends ExportError {}

export interface LayoutWriter {
  /** Whether the blob need not be written again. */
  has(digest: Digest, size: number): Promise<boolean>;
  /**
   * Throws `ExportError` when the bytes cannot be read, or do not have this digest and size; and `ExportAbortedError` where
   * nothing can be written after that.
   */
  write(digest: Digest, size: number, bytes: AsyncIterable<Uint8Array>): Promise<void>;
  /** What `index.json` listed before, if anything. */
  readonly entries: readonly IndexEntry[];
  /** Writes the documents beside the blobs, the last of which makes the layout complete. */
  finish(documents: Readonly<Record<string, object>>): Promise<void>;
  /** Leaves nothing half written behind. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** An entry of `index.json`. */
export interface IndexEntry {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly artifactType?: string | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
}

export const LAYOUT_VERSION: object = { imageLayoutVersion: "1.0.0" };
