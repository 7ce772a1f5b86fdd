/** What the row of an upload knows of its parts. */
import type { PartState } from "../blob-store.ts";

/**
 * While the bytes are fewer than a part, they are an object under the key of the blob, which has them at its beginning. From then
 * on they are parts of a multipart upload to that key, and a tail, which is an object of its own because S3 takes no part that is
 * short before the last one, and gives none back.
 */
export type S3PartState =
  | { readonly kind: "object"; readonly etag: string; readonly size: number }
  | {
      readonly kind: "multipart";
      readonly upload: string;
      readonly partBytes: number;
      /** ETags of the parts, all of `partBytes` bytes, from number 1 on. */
      readonly parts: readonly string[];
      readonly tail?: string | undefined;
    };

export type MultipartState = Extract<S3PartState, { readonly kind: "multipart" }>;

export function parsePartState(text: PartState): S3PartState {
  return JSON.parse(text) as S3PartState; // this store wrote it
}

export function writePartState(state: S3PartState): PartState {
  return JSON.stringify(state) as PartState;
}
