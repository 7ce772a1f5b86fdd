/** One line for each request, with the names of fields that distribution's log has. */
import type { Logger } from "../observe/logger.ts";
import type { Reply } from "./reply.ts";

export function logAccess(log: Logger, request: Request, reply: Reply, durationMs: number): void {
  if (!log.isLevelEnabled("info")) return;
  const url = request.url.slice(request.url.indexOf("/", "https://".length));
  log.info(
    {
      "http.request.method": request.method,
      "http.request.uri": url,
      "http.request.remoteaddr": reply.address,
      "auth.user.name": reply.user,
      "http.request.useragent": request.headers.get("user-agent") ?? undefined,
      "http.response.status": reply.status,
      "http.response.duration": Math.round(durationMs * 1000) / 1000,
      "http.response.written": request.method === "HEAD" ? 0 : Number(reply.headers["content-length"] ?? 0),
    },
    `${request.method} ${reply.status} ${url}`,
  );
}
