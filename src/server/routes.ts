/** Which endpoint a path names. */

export type Route =
  | { readonly kind: "base" }
  | { readonly kind: "catalog" }
  | { readonly kind: "blob"; readonly name: string; readonly digest: string }
  | { readonly kind: "uploads"; readonly name: string }
  | { readonly kind: "upload"; readonly name: string; readonly id: string }
  | { readonly kind: "manifest"; readonly name: string; readonly reference: string }
  | { readonly kind: "tags"; readonly name: string }
  | { readonly kind: "referrers"; readonly name: string; readonly digest: string }
  | { readonly kind: "signatures"; readonly name: string; readonly digest: string }
  | { readonly kind: "token" }
  | { readonly kind: "keys" }
  | { readonly kind: "welcome" }
  | { readonly kind: "health" }
  | { readonly kind: "ready" };

export type RouteKind = Route["kind"];

/** What can be done at each endpoint. */
export const METHODS: Readonly<Record<RouteKind, readonly string[]>> = {
  base: ["GET", "HEAD"],
  catalog: ["GET", "HEAD"],
  blob: ["GET", "HEAD", "DELETE"],
  uploads: ["POST"],
  upload: ["GET", "HEAD", "PATCH", "PUT", "DELETE"],
  manifest: ["GET", "HEAD", "PUT", "DELETE"],
  tags: ["GET", "HEAD"],
  referrers: ["GET", "HEAD"],
  signatures: ["GET", "HEAD", "PUT"],
  token: ["GET", "HEAD", "POST"],
  keys: ["GET", "HEAD"],
  welcome: ["GET", "HEAD"],
  health: ["GET", "HEAD"],
  ready: ["GET", "HEAD"],
};

/** Where tokens are issued. */
export const TOKEN_PATH = "/token";

/**
 * The endpoint that a path names, or undefined when it names none. Repository names hold slashes, and may be called
 * `tags` or `a/blobs/uploads`: so a path is read from its end.
 */
export function parseRoute(path: string): Route | undefined {
  if (isAmbiguous(path)) return undefined;
  switch (path) {
    case "/v2":
    case "/v2/":
      return { kind: "base" };
    case "/v2/_catalog":
      return { kind: "catalog" };
    case TOKEN_PATH:
      return { kind: "token" };
    case "/.well-known/jwks.json":
      return { kind: "keys" };
    case "/":
      return { kind: "welcome" };
    case "/healthz":
      return { kind: "health" };
    case "/readyz":
      return { kind: "ready" };
    default:
      if (path.startsWith("/v2/")) return parseRepositoryRoute(segmentsAfter("/v2/", path));
      return path.startsWith(EXTENSIONS) ? parseExtensionRoute(segmentsAfter(EXTENSIONS, path)) : undefined;
  }
}

/**
 * Whether `path` holds a backslash or a dot segment, raw or encoded: some programs read a backslash as a slash and resolve
 * dot segments, others do not, so a proxy in front could have decided over another path than this one.
 */
export function isAmbiguous(path: string): boolean {
  return /\\|%5c|\/(?:\.|%2e){1,2}(?:\/|$)/i.test(path);
}

/** Where probes and people look for the registry itself, wherever its endpoints are. */
const ALSO_AT_THE_TOP: ReadonlySet<string> = new Set(["/", "/healthz", "/readyz"]);

/**
 * The part of `path` that names an endpoint of a registry below `prefix`: what comes after the prefix. Undefined for a path
 * outside of it, but for those of probes, which a load balancer sends to the top of a host.
 */
export function pathBelow(prefix: string, path: string): string | undefined {
  if (prefix === "" || ALSO_AT_THE_TOP.has(path)) return path;
  if (path === prefix) return "/";
  return path.startsWith(`${prefix}/`) ? path.slice(prefix.length) : undefined;
}

/** Where containers/image looks for signatures. */
const EXTENSIONS = "/extensions/v2/";

function segmentsAfter(start: string, path: string): readonly string[] {
  return path.slice(start.length).split("/").map(decode);
}

function parseExtensionRoute(parts: readonly string[]): Route | undefined {
  const [word, digest] = parts.slice(-2);
  if (word !== "signatures" || digest === undefined || digest === "" || parts.length < 3) return undefined;
  return { kind: "signatures", name: parts.slice(0, -2).join("/"), digest };
}

function parseRepositoryRoute(parts: readonly string[]): Route | undefined {
  const count = parts.length;
  const [third, second, last] = [parts[count - 3], parts[count - 2], parts[count - 1]];
  if (last === undefined || second === undefined) return undefined;
  const nameBefore = (words: number): string => parts.slice(0, count - words).join("/");

  if (second === "blobs" && last === "uploads" && count > 2) return { kind: "uploads", name: nameBefore(2) };
  if (third === "blobs" && second === "uploads" && count > 3) {
    // A POST is never redirected, so both spellings of the collection are taken.
    return last === "" ? { kind: "uploads", name: nameBefore(3) } : { kind: "upload", name: nameBefore(3), id: last };
  }
  if (count < 3 || last === "") return undefined;
  if (second === "blobs") return { kind: "blob", name: nameBefore(2), digest: last };
  if (second === "manifests") return { kind: "manifest", name: nameBefore(2), reference: last };
  if (second === "tags" && last === "list") return { kind: "tags", name: nameBefore(2) };
  if (second === "referrers") return { kind: "referrers", name: nameBefore(2), digest: last };
  return undefined;
}

/** A segment without its percent signs; one that is malformed stays as it is, and no parser inside takes it. */
function decode(segment: string): string {
  if (!segment.includes("%")) return segment;
  try {
    return decodeURIComponent(segment).replaceAll("/", "%2F"); // a slash that was hidden does not part segments
  } catch {
    return segment;
  }
}
