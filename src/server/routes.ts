/** Which endpoint a path names, with its parts as parsed values: nothing behind this file sees what the client wrote. */
import { digest as digestIn } from "../oci/digest.ts";
import type { Digest } from "../oci/digest.ts";
import { OciError } from "../oci/error.ts";
import { parseReference } from "../oci/reference.ts";
import type { Reference } from "../oci/reference.ts";
import { repositoryName } from "../oci/repository-name.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import { tag as tagIn } from "../oci/tag.ts";
import { manifestUnknown, uploadUnknown } from "../oci/unknown.ts";
import { API_PATH, spellApiPath } from "./api-resources.ts";
import type { SpelledApiPath } from "./api-resources.ts";

/** An endpoint; `Name`, `Digest_` and `Reference_` are what its parts are: parsed values, or texts. */
type Endpoint<Name, Digest_, Reference_> =
  | { readonly kind: "base" }
  | { readonly kind: "catalog" }
  | { readonly kind: "blob"; readonly name: Name; readonly digest: Digest_ }
  | { readonly kind: "uploads"; readonly name: Name }
  | { readonly kind: "upload"; readonly name: Name; readonly id: string }
  | { readonly kind: "manifest"; readonly name: Name; readonly reference: Reference_ }
  | { readonly kind: "tags"; readonly name: Name }
  | { readonly kind: "referrers"; readonly name: Name; readonly digest: Digest_ }
  | { readonly kind: "signatures"; readonly name: Name; readonly digest: Digest_ }
  | { readonly kind: "token" }
  | { readonly kind: "keys" }
  | ({ readonly kind: "api" } & SpelledApiPath)
  | ({ readonly kind: "api"; readonly name: Name } & SpelledApiPath)
  | { readonly kind: "welcome" }
  | { readonly kind: "page" }
  | { readonly kind: "page-file"; readonly file: string }
  | { readonly kind: "health" }
  | { readonly kind: "ready" };

export type Route = Endpoint<RepositoryName, Digest, Reference>;

/** The same as the path spells it, percent signs decoded. */
export type SpelledRoute = Endpoint<string, string, string>;

export type RouteKind = Route["kind"];

/** What can be done at each endpoint; at one of the API, `methodsOf` says what of it. */
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
  api: ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
  welcome: ["GET", "HEAD"],
  page: ["GET", "HEAD"],
  "page-file": ["GET", "HEAD"],
  health: ["GET", "HEAD"],
  ready: ["GET", "HEAD"],
};

/** Where tokens are issued. */
export const TOKEN_PATH = "/token";

type RepositoryEndpoint = Extract<SpelledRoute, { readonly name: string }>;

/** A path of an endpoint, one of whose parts cannot be. */
export interface InvalidRoute<Name = RepositoryName | undefined> {
  readonly kind: RepositoryEndpoint["kind"];
  /** Undefined when the name itself is invalid. */
  readonly name: Name;
  readonly refusal: OciError;
}

/** Returns the endpoint that a path names to a request of this method; undefined when it names none. */
export function parseRoute(path: string, method: string): Route | InvalidRoute | undefined {
  const spelled = spellRoute(path);
  if (!spelled || !("name" in spelled)) return spelled;
  const name = parsedOrRefused(() => repositoryName(spelled.name));
  if (name instanceof OciError) return { kind: spelled.kind, name: undefined, refusal: name };
  const route = parsedOrRefused(() => parseParts(spelled, name, method));
  return route instanceof OciError ? { kind: spelled.kind, name, refusal: route } : route;
}

/** Whether the path names a repository that can be, or none is needed. */
export function isNamed(route: Route | InvalidRoute): route is Route | InvalidRoute<RepositoryName> {
  return !("refusal" in route) || route.name !== undefined;
}

function parsedOrRefused<Value>(parse: () => Value): Value | OciError {
  try {
    return parse();
  } catch (error) {
    if (error instanceof OciError) return error;
    throw error;
  }
}

/** Throws the refusal of a part that cannot be. */
function parseParts(spelled: RepositoryEndpoint, name: RepositoryName, method: string): Route {
  switch (spelled.kind) {
    case "blob":
    case "referrers":
    case "signatures":
      return { kind: spelled.kind, name, digest: digestIn(spelled.digest) };
    case "manifest":
      return { kind: "manifest", name, reference: referenceIn(spelled, name, method) };
    case "upload":
      if (UPLOAD_ID.test(spelled.id)) return { kind: "upload", name, id: spelled.id };
      throw uploadUnknown(spelled.id.slice(0, 128));
    case "api":
      return { ...spelled, name };
    case "uploads":
    case "tags":
      return { kind: spelled.kind, name };
  }
}

/** Text that an id of an upload may be; which ones there are is known to the registry. */
const UPLOAD_ID = /^[\w-]{1,128}$/;

/** What can be neither a tag nor a digest is not there for a reader, and not allowed for a writer. */
function referenceIn({ reference }: { readonly reference: string }, name: RepositoryName, method: string): Reference {
  const parsed = parseReference(reference);
  if (parsed) return parsed;
  if (method === "PUT" || method === "DELETE") return { kind: "tag", tag: tagIn(reference) };
  throw manifestUnknown(name, { reference: reference.slice(0, 256) });
}

/**
 * Returns the endpoint that a path names, or undefined when it names none. Repository names hold slashes, and may be called
 * `tags` or `a/blobs/uploads`: so a path is read from its end.
 */
export function spellRoute(path: string): SpelledRoute | undefined {
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
    case "/r":
    case "/login":
      return { kind: "page" };
    case "/healthz":
      return { kind: "health" };
    case "/readyz":
      return { kind: "ready" };
    default:
      if (path.startsWith("/v2/")) return spellRepositoryRoute(segmentsAfter("/v2/", path));
      if (isApiPath(path)) return spellApiRoute(path);
      if (path.startsWith("/r/")) return { kind: "page" };
      if (path.startsWith(PAGE_FILES)) return { kind: "page-file", file: path.slice(PAGE_FILES.length) };
      return path.startsWith(EXTENSIONS) ? spellExtensionRoute(segmentsAfter(EXTENSIONS, path)) : undefined;
  }
}

/** Whether a path below the prefix is of the API, where errors are problems (RFC 9457). */
export function isApiPath(path: string): boolean {
  return path.startsWith(`${API_PATH}/`);
}

function spellApiRoute(path: string): SpelledRoute | undefined {
  const spelled = spellApiPath(path);
  const name = spelled?.parts["name"];
  return spelled && { kind: "api", ...spelled, ...(name !== undefined && { name }) };
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

/** Where the files of the page are. */
const PAGE_FILES = "/ui/";

/** Where containers/image looks for signatures. */
const EXTENSIONS = "/extensions/v2/";

function segmentsAfter(start: string, path: string): readonly string[] {
  return path.slice(start.length).split("/").map(decode);
}

function spellExtensionRoute(parts: readonly string[]): SpelledRoute | undefined {
  const [word, digest] = parts.slice(-2);
  if (word !== "signatures" || digest === undefined || digest === "" || parts.length < 3) return undefined;
  return { kind: "signatures", name: parts.slice(0, -2).join("/"), digest };
}

function spellRepositoryRoute(parts: readonly string[]): SpelledRoute | undefined {
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

/** A segment without its percent signs; one that is malformed stays as it is, and no parser takes it. */
function decode(segment: string): string {
  if (!segment.includes("%")) return segment;
  try {
    return decodeURIComponent(segment).replaceAll("/", "%2F"); // a slash that was hidden does not part segments
  } catch {
    return segment;
  }
}
