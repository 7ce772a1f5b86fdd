/**
 * What is not there. A manifest, tag, blob or upload that is missing is refused in the same way whether or not its repository
 * exists, because containers/image takes nothing else for "not found". Only lists of tags say that a repository is missing (`NAME_UNKNOWN`).
 */
import type { Digest } from "./digest.ts";
import { OciError } from "./error.ts";
import type { RepositoryName } from "./repository-name.ts";

/** `detail` says by what it was looked for. */
export function manifestUnknown(name: RepositoryName, detail: Readonly<Record<string, unknown>>): OciError {
  return new OciError("MANIFEST_UNKNOWN", { detail: { name, ...detail } });
}

export function blobUnknown(name: RepositoryName, digest: Digest): OciError {
  return new OciError("BLOB_UNKNOWN", { detail: { name, digest } });
}

/** It never began, has ended, or has expired. */
export function uploadUnknown(id: string): OciError {
  return new OciError("BLOB_UPLOAD_UNKNOWN", {
    message: "this upload is unknown, has ended or has expired: begin another with POST",
    detail: { id },
  });
}

export function repositoryUnknown(name: RepositoryName): OciError {
  return new OciError("NAME_UNKNOWN", { detail: { name } });
}
