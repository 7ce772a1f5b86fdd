/** The plain HTTP listener beside TLS: answers http-01 challenges, and redirects requests for the registry's names. */
import { parseUrl } from "../../lib/parse-url.ts";
import type { Handler } from "../http/handler.ts";
import { LIMITS } from "../http/limits.ts";
import { empty, text } from "../http/reply.ts";
import { pathOf, targetOf } from "../http/request-target.ts";

const PREFIX = "/.well-known/acme-challenge/";

export interface ChallengeOptions {
  /** Returns the answer to a challenge token; undefined when there is no such challenge. */
  readonly answerTo: (token: string) => Promise<string | undefined>;
  /** Names that are redirected; other names get 404. */
  readonly names: readonly string[];
  /** Returns the URL of the registry for `name`, such as `https://registry.example.com:5000`. */
  readonly originOf: (name: string) => string;
}

export function createChallengeHandler({ answerTo, names, originOf }: ChallengeOptions): Handler {
  return async (request) => {
    if (request.method !== "GET" && request.method !== "HEAD") return empty(404);
    const target = targetOf(request.url);
    const path = pathOf(target);
    if (path.startsWith(PREFIX)) {
      const answer = await answerTo(path.slice(PREFIX.length));
      return answer === undefined ? empty(404) : text(200, answer, { "content-type": "application/octet-stream" });
    }
    const name = parseUrl(request.url)?.hostname; // undefined for a request of HTTP/1.0 without a Host
    if (name === undefined || !names.includes(name)) return empty(404);
    if (target.length > LIMITS.maxHeaderValueBytes) return empty(414);
    return empty(308, { location: `${originOf(name)}${target}` });
  };
}
