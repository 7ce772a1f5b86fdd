/** Images in a folder or a file: an OCI image layout (image-spec, image-layout.md), or an archive of `docker save`. */
import { stat } from "node:fs/promises";
import { TarArchive } from "../../lib/tar-archive.ts";
import { openDockerArchive } from "./docker-archive.ts";
import { folderFiles, tarFiles } from "./image-files.ts";
import { openImageLayout } from "./image-layout.ts";
import { SourceError } from "./image-source.ts";
import type { ImageArchive } from "./image-source.ts";

/** Throws `SourceError` or `TarError`, saying what it is instead, when it is neither. */
export async function openImageArchive(path: string): Promise<ImageArchive> {
  if ((await stat(path)).isDirectory()) {
    const files = folderFiles(path);
    if ((await files.size("oci-layout")) !== undefined) return await openImageLayout(files);
    throw new SourceError("it is no OCI image layout: the folder has no file oci-layout");
  }
  const archive = await TarArchive.open(path);
  if (archive.size("oci-layout") !== undefined && archive.size("index.json") !== undefined) {
    return await openImageLayout(tarFiles(archive));
  }
  if (archive.size("manifest.json") !== undefined) return await openDockerArchive(archive);
  throw new SourceError(
    "it is no archive of images: it has neither oci-layout and index.json, nor a manifest.json as docker save writes it, at its top",
  );
}
