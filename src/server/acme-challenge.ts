/** What the plain HTTP address beside TLS answers: an authority that asks whether a name is ours, and nothing else. */
import type { Handler } from "./handler.ts";
import { empty, text } from "./reply.ts";

const PREFIX = "/.well-known/acme-challenge/";

export interface ChallengeOptions {
  /** What to answer for a token; undefined when nobody waits for it. */
  readonly answerTo: (token: string) => Promise<string | undefined>;
  /** Those that may be sent on: whoever asks for another name gets nothing. */
  readonly names: readonly string[];
  /** Where the registry is for somebody who asked for `name`, such as `https://registry.example.com:5000`. */
  readonly originOf: (name: string) => string;
}

export function createChallengeHandler({ answerTo, names, originOf }: ChallengeOptions): Handler {
  return async (request) => {
    if (request.method !== "GET" && request.method !== "HEAD") return empty(404);
    const { hostname, pathname, search } = new URL(request.url);
    if (pathname.startsWith(PREFIX)) {
      const answer = await answerTo(pathname.slice(PREFIX.length));
      return answer === undefined ? empty(404) : text(200, answer, { "content-type": "application/octet-stream" });
    }
    if (!names.includes(hostname)) return empty(404);
    return empty(308, { location: `${originOf(hostname)}${pathname}${search}` });
  };
}
