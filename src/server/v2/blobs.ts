/** Blobs over HTTP: pull (end-2) and delete (end-10). */
import type { Context } from "../context.ts";
import { empty } from "../http/reply.ts";
import type { Reply } from "../http/reply.ts";
import { bodyAt } from "../http/representation.ts";
import type { Representation } from "../http/representation.ts";
import type { Route } from "../routes.ts";

type BlobRoute = Extract<Route, { kind: "blob" }>;

/** What a digest names never changes: a client may keep it for a year. */
const CACHE_CONTROL = "max-age=31536000";

export async function getBlob(
  { namespace, authorization }: Context,
  { name, digest }: BlobRoute,
): Promise<Representation> {
  const blob = await namespace.repository(name).blobs.get(digest, { renews: authorization.may("push", name) });
  return {
    // "the registry … MUST return … Docker-Content-Digest": the digest that was asked for, in its algorithm.
    headers: { "docker-content-digest": digest, "cache-control": CACHE_CONTROL },
    contentHeaders: {
      "content-type": "application/octet-stream",
      "content-disposition": "attachment", // else Bun tells the name of the file
    },
    digest,
    size: blob.size,
    body: blob.size === 0 ? "" : bodyAt(blob.location()),
    acceptsRanges: true,
    ...(blob.validity && { cacheable: blob.validity }),
  };
}

export async function deleteBlob({ namespace }: Context, { name, digest }: BlobRoute): Promise<Reply> {
  await namespace.repository(name).blobs.delete(digest);
  return empty(202);
}
