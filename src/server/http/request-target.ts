/** The target of a request, as the runtime reports it. */

/**
 * Path and query as they were sent, percent signs included. The runtime gives a whole URL, and has resolved dot segments
 * and turned backslashes into slashes; of a request without a Host (HTTP/1.0) it gives the target alone, unchanged.
 */
export function targetOf(url: string): string {
  if (url.startsWith("/")) return url;
  const scheme = url.indexOf("://");
  const start = scheme < 0 ? 0 : url.indexOf("/", scheme + 3);
  return start < 0 ? "/" : url.slice(start);
}

/** The part of a target before its query. */
export function pathOf(target: string): string {
  const mark = target.indexOf("?");
  return mark < 0 ? target : target.slice(0, mark);
}

/** The parameters of a target's query. */
export function parametersOf(target: string): URLSearchParams {
  const mark = target.indexOf("?");
  return new URLSearchParams(mark < 0 ? "" : target.slice(mark + 1));
}

/**
 * Whether the request has one Host that names a host, or none at all, as HTTP/1.0 allows. (The runtime itself refuses a
 * request of HTTP/1.1 without a Host.)
 */
export function hasUsableHost(request: Request): boolean {
  return hasHostOfUrl(request) && (request.url.startsWith("/") || URL.canParse(request.url));
}

/** Whether the Host of the request is the one that its URL has: one and no other, or none where the URL has none. */
export function hasHostOfUrl({ url, headers }: Request): boolean {
  const host = headers.get("host");
  return host === null || (!url.startsWith("/") && !host.includes(",")); // of a Host that is no host the runtime makes no URL
}
