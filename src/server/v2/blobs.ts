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
  { namespace, authorization, request }: Context,
  { name, digest }: BlobRoute,
): Promise<Representation | Reply> {
  const blob = await namespace.repository(name).blobs.get(digest, { renews: authorization.may("push", name) });
  const location = blob.location();
  if (location.kind === "stream" && location.address && isRedirected(request)) {
    // Not to be cached: the address expires.
    const headers = { location: String(await location.address()), "docker-content-digest": digest };
    return empty(307, { ...headers, "cache-control": "no-store" });
  }
  return {
    // "the registry … MUST return … Docker-Content-Digest": the digest that was asked for, in its algorithm.
    headers: { "docker-content-digest": digest, "cache-control": CACHE_CONTROL },
    contentHeaders: {
      "content-type": "application/octet-stream",
      "content-disposition": "attachment", // else Bun tells the name of the file
    },
    digest,
    size: blob.size,
    body: blob.size === 0 ? "" : bodyAt(location),
    acceptsRanges: true,
    ...(blob.validity && { cacheable: blob.validity }),
  };
}

/**
 * Whether a request may be answered by an address in the store. Never HEAD: the address is signed for GET, and the store says no
 * digest. Conditions are for this server to evaluate, because the store has other entity tags.
 */
function isRedirected({ method, headers }: Request): boolean {
  return method === "GET" && !headers.has("if-none-match") && !headers.has("if-match") && !headers.has("if-range");
}

export async function deleteBlob({ namespace }: Context, { name, digest }: BlobRoute): Promise<Reply> {
  await namespace.repository(name).blobs.delete(digest);
  return empty(202);
}
