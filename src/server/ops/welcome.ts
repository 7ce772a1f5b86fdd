/** What the registry says at its address to programs: a browser gets the page. */
import type { Context } from "../context.ts";
import { dockerHost } from "./docker-host.ts";
import { textBody } from "../http/reply.ts";
import type { Representation } from "../http/representation.ts";

/** Of a request of HTTP/1.0, which need not say by what name it came. */
const UNKNOWN_HOST = "http://this-registry.example.org";

export function getWelcome({ request, caller, options }: Context): Representation {
  const { origins, version, asksForLogin } = options;
  const base = `${origins.baseOf(request, caller) || UNKNOWN_HOST}${origins.prefix}`;
  const host = dockerHost(base);
  const login = asksForLogin ? `Log in, if you have an account here:\n\n  docker login ${host}\n\n` : "";
  const page = `This is Stowage ${version}, a registry of container images. It is up.

${login}Push an image to it:

  docker tag IMAGE ${host}/IMAGE
  docker push ${host}/IMAGE

and pull it:

  docker pull ${host}/IMAGE

What it holds:  curl ${asksForLogin ? "-u NAME " : ""}${base}/v2/_catalog
`;
  return {
    headers: { vary: "Accept" },
    contentHeaders: { "content-type": "text/plain; charset=utf-8" },
    size: Buffer.byteLength(page),
    body: textBody(page),
  };
}
