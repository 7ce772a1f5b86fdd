/** Pushes as clients do them: blobs in several ways, manifests by tag. */
import { OCI_MANIFEST } from "../../test/support/content.ts";
import type { Body, SmallImage } from "./bodies.ts";
import type { Connection } from "./connection.ts";

/** With one PUT, with one PATCH and an empty PUT, or with a PATCH for each chunk. */
export type PushWay = "PUT" | "PATCH" | "chunks";

/** Bytes in a chunk, as several clients have it. */
export const CHUNK_BYTES = 16 * 2 ** 20;

const OCTETS = "Content-Type: application/octet-stream\r\n";

export async function pushBlob(connection: Connection, repository: string, body: Body, way: PushWay): Promise<void> {
  const opened = await connection.request(202, "POST", `/v2/${repository}/blobs/uploads/`);
  let target = targetOf(opened.location);
  if (way === "PUT") {
    await connection.request(201, "PUT", closing(target, body.digest), body.pieces, OCTETS);
    return;
  }
  for (const { pieces, headers } of way === "PATCH" ? [{ pieces: body.pieces, headers: "" }] : chunksOf(body)) {
    const taken = await connection.request(202, "PATCH", target, pieces, OCTETS + headers);
    target = targetOf(taken.location);
  }
  await connection.request(201, "PUT", closing(target, body.digest));
}

export async function pushImage(
  connection: Connection,
  repository: string,
  tag: string,
  { layer, config, manifest }: SmallImage,
): Promise<void> {
  await pushBlob(connection, repository, layer, "PUT");
  await pushBlob(connection, repository, config, "PUT");
  const type = `Content-Type: ${OCI_MANIFEST}\r\n`;
  await connection.request(201, "PUT", `/v2/${repository}/manifests/${tag}`, [manifest], type);
}

function* chunksOf({
  pieces,
  size,
}: Body): Generator<{ readonly pieces: readonly Uint8Array[]; readonly headers: string }> {
  const perChunk = CHUNK_BYTES / pieces[0]!.length;
  for (let at = 0, first = 0; at < pieces.length; at += perChunk, first += CHUNK_BYTES) {
    const last = Math.min(first + CHUNK_BYTES, size) - 1;
    yield { pieces: pieces.slice(at, at + perChunk), headers: `Content-Range: ${first}-${last}\r\n` };
  }
}

function targetOf(location: string | undefined): string {
  if (location === undefined) throw new Error("an upload was opened without a Location");
  return location.startsWith("/") ? location : location.slice(new URL(location).origin.length);
}

function closing(target: string, digest: string): string {
  return `${target}${target.includes("?") ? "&" : "?"}digest=${digest}`;
}
