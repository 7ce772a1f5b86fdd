/** Parses a request: its route and the permission that it requires. */
import { OciError } from "../oci/error.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import { requiredPermission } from "./access/required-permission.ts";
import { apiMethod, methodsOf } from "./api-resources.ts";
import type { RequiredPermission } from "./access/required-permission.ts";
import type { ServerOptions } from "./context.ts";
import type { HeaderMap } from "./http/common-headers.ts";
import { RefusedWithHeaders } from "./http/error-reply.ts";
import { hasUsableHost, pathOf, targetOf } from "./http/request-target.ts";
import { METHODS, isAmbiguous, isNamed, parseRoute, pathBelow } from "./routes.ts";
import type { InvalidRoute, Route } from "./routes.ts";

export interface ParsedRequest {
  /** An endpoint with an invalid part is refused once the client may know of its repository. */
  readonly route: Route | InvalidRoute<RepositoryName> | Preflight;
  readonly required: RequiredPermission;
  /** The headers that every reply at its path has. */
  readonly commonHeaders: HeaderMap;
}

/** A CORS preflight request (Fetch standard, "CORS-preflight request"). */
export interface Preflight {
  readonly kind: "preflight";
  /** Those of the endpoint. */
  readonly methods: readonly string[];
}

/** Throws the refusal of a request that no endpoint answers. */
export function parseRequest(request: Request, options: ServerOptions): ParsedRequest {
  const { method } = request;
  if (method === "CONNECT") throw unsupportedMethod("CONNECT", METHODS.welcome); // it names a host, not a path
  // "A server MUST respond with a 400 … to any … request message that contains more than one Host" (RFC 9112, 3.2).
  if (!hasUsableHost(request)) {
    throw new OciError("UNSUPPORTED", { status: 400, message: "the Host header is missing or malformed" });
  }
  options.otherSites?.refuse(request);
  const path = registryPath(request, options);
  const route = parseRoute(path, method);
  if (!route || !isServed(route, options)) throw unknownPath(path);
  const allowed = "resource" in route ? methodsOf(route.resource) : METHODS[route.kind];
  const commonHeaders = options.commonHeaders.at(path);
  if (method === "OPTIONS" && options.commonHeaders.crossOrigin) {
    return { route: { kind: "preflight", methods: allowed }, required: { kind: "nothing" }, commonHeaders };
  }
  if (!allowed.includes(method)) throw unsupportedMethod(method, allowed);
  if (options.live.readOnly && isWrite(method, route)) throw readOnly(allowed.filter((each) => !isWrite(each, route)));
  if (deletesContent(method, route) && !options.live.deleteEnabled) {
    throw deleteDisabled(allowed.filter((each) => !deletesContent(each, route)));
  }
  if (!isNamed(route)) throw route.refusal;
  return { route, required: requiredPermission(request, route), commonHeaders };
}

/** A path that names no endpoint, for those outside of the registry. */
const OUTSIDE = "";

/** Returns the path of a request below the registry's prefix. */
export function registryPath({ url }: Request, { origins }: ServerOptions): string {
  return pathBelow(origins.prefix, pathOf(targetOf(url))) ?? OUTSIDE;
}

/** Whether the settings leave this endpoint on. */
function isServed(route: Route | InvalidRoute, options: ServerOptions): boolean {
  const { kind } = route;
  if (kind === "signatures") return options.signaturesEnabled;
  if (kind === "api" && options.api === undefined) return false;
  if ("resource" in route && route.resource === "events") return options.events !== undefined;
  return (kind !== "token" && kind !== "keys") || options.tokens !== undefined;
}

function unknownPath(path: string): OciError {
  if (isAmbiguous(path)) {
    const message = "unknown path: it contains a backslash or a dot segment (. or ..), raw or encoded";
    return new OciError("UNSUPPORTED", { status: 404, message });
  }
  // Paths with empty segments or encoded slashes are answered as invalid names.
  if (path.startsWith("/v2/") && /\/\/|%2f|%00/i.test(path)) return new OciError("NAME_UNKNOWN");
  return new OciError("UNSUPPORTED", { status: 404, message: "unknown path" });
}

/** "The origin server MUST generate an Allow header field in a 405" (RFC 9110, 15.5.6). */
function unsupportedMethod(method: string, allowed: readonly string[]): RefusedWithHeaders {
  const message = `${method} is not allowed here: use ${allowed.join(" or ")}`;
  return new RefusedWithHeaders(new OciError("UNSUPPORTED", { message }), { allow: allowed.join(", ") });
}

/** Whether a request changes what is stored: all but those that read, and that ask for a token. */
function isWrite(method: string, { kind }: Pick<Route, "kind">): boolean {
  return method !== "GET" && method !== "HEAD" && kind !== "token";
}

/** Whether a request deletes content of the registry. */
function deletesContent(method: string, route: Route | InvalidRoute): boolean {
  if ("resource" in route) return apiMethod(route.resource, method)?.deletes ?? false;
  return method === "DELETE" && route.kind !== "upload";
}

function readOnly(others: readonly string[]): RefusedWithHeaders {
  const message = "this registry is read-only at present (storage.maintenance.readonly): pull from it, and push later";
  return new RefusedWithHeaders(new OciError("UNSUPPORTED", { message }), { allow: others.join(", ") });
}

function deleteDisabled(others: readonly string[]): RefusedWithHeaders {
  const message = "deleting is switched off on this registry (storage.delete.enabled)";
  return new RefusedWithHeaders(new OciError("UNSUPPORTED", { message }), { allow: others.join(", ") });
}
