/** Tells endpoints of notifications what clients pulled. */
import type { Digest } from "../oci/digest.ts";
import type { PullEvents } from "../registry/events/pulls.ts";
import type { Context } from "./context.ts";
import type { Reply } from "./http/reply.ts";
import type { ParsedRequest } from "./parsed-request.ts";

/** A request that was answered. */
interface AnsweredRequest extends Pick<Context, "request" | "caller" | "options"> {
  readonly parsed: ParsedRequest | undefined;
  /** The principal's name; undefined for anonymous clients. */
  readonly user: string | undefined;
}

/** Adds the pull that a reply is, if it is one: 200 and 206 for blobs and manifests. Of a 304 nothing is told. */
export function tellPull(pulls: PullEvents, { status, headers }: Reply, answered: AnsweredRequest): void {
  const { request, caller, options, parsed, user } = answered;
  const { method } = request;
  if ((status !== 200 && status !== 206) || (method !== "GET" && method !== "HEAD") || !pulls.wants(method)) return;
  const route = parsed?.route;
  if (!route || "refusal" in route || (route.kind !== "blob" && route.kind !== "manifest")) return;
  const { origins, clock } = options;
  pulls.add({
    object: route.kind,
    repository: route.name,
    digest: (headers["docker-content-digest"] ?? "") as Digest,
    mediaType: route.kind === "blob" ? "application/octet-stream" : (headers["content-type"] ?? ""),
    size: Number(/\/(\d+)$/.exec(headers["content-range"] ?? "")?.[1] ?? headers["content-length"] ?? 0),
    tag: route.kind === "manifest" && route.reference.kind === "tag" ? route.reference.tag : undefined,
    request: {
      address: caller.address,
      host: request.headers.get("host") ?? "",
      base: origins.baseOf(request, caller) + origins.prefix,
      method,
      userAgent: request.headers.get("user-agent") ?? "",
      user,
    },
    at: clock.now(),
  });
}
