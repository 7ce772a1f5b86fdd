/**
 * Addresses of our own, always a path: right behind every proxy and under every name. They begin at the top of the registry;
 * `belowPrefix` then makes them begin at the top of its host.
 */
import type { Digest } from "../../oci/digest.ts";
import type { RepositoryName } from "../../oci/repository-name.ts";
import { LIMITS } from "./limits.ts";

export function blobPath(name: RepositoryName, digest: Digest): string {
  return `/v2/${name}/blobs/${digest}`;
}

/**
 * The `Location` of an upload that has `size` bytes; without `size`, at any offset. There is always a query, because
 * scripts that were written for distribution append `&digest=…`.
 */
export function uploadPath(name: RepositoryName, id: string, size?: number): string {
  return `/v2/${name}/blobs/uploads/${id}?${OFFSET}=${size ?? ""}`;
}

/** The parameter of an upload's address that says where the upload stood when the address was given. */
export const OFFSET = "offset";

export function manifestPath(name: RepositoryName, digest: Digest): string {
  return `/v2/${name}/manifests/${digest}`;
}

/** Parameters that lists know. */
const OF_LISTS: ReadonlySet<string> = new Set(["n", "last", "artifactType"]);

/**
 * A `Link` header to the next page (RFC 8288): the path with the parameters of this request, some of them new. Those that
 * mean nothing to a list are left out where they would make the header long.
 */
export function nextPage(
  path: string,
  parameters: URLSearchParams,
  changed: Readonly<Record<string, string | undefined>>,
): string {
  const next = new URLSearchParams(parameters);
  for (const [key, value] of Object.entries(changed)) {
    if (value === undefined) next.delete(key);
    else next.set(key, value);
  }
  const all = next.toString();
  const query =
    all.length <= LIMITS.maxHeaderValueBytes
      ? all
      : new URLSearchParams([...next].filter(([key]) => OF_LISTS.has(key))).toString();
  return `<${path}?${query}>; rel="next"`;
}

/** Headers of a reply whose `Location` and `Link` lead to paths of the registry, for a registry below `prefix`. */
export function belowPrefix(
  headers: Readonly<Record<string, string>>,
  prefix: string,
): Readonly<Record<string, string>> {
  const { location, link } = headers;
  if (prefix === "" || (location === undefined && link === undefined)) return headers;
  return {
    ...headers,
    ...(location?.startsWith("/") && { location: prefix + location }), // a whole address leads elsewhere
    ...(link?.startsWith("</") && { link: `<${prefix}${link.slice(1)}` }),
  };
}
