/** What a person sees who opens the address in a browser. */
import type { Context } from "../context.ts";
import { text } from "../reply.ts";
import type { Reply } from "../reply.ts";

export function getWelcome({ request, caller, options }: Context): Reply {
  const { origins } = options;
  const base = `${origins.baseOf(request, caller)}${origins.prefix}`;
  const host = base.replace(/^https?:\/\//, "");
  const page = `This is Stowage ${options.version}, a registry of container images. It is up.

Push an image to it:

  docker tag IMAGE ${host}/IMAGE
  docker push ${host}/IMAGE

and pull it:

  docker pull ${host}/IMAGE

What it holds:  curl ${base}/v2/_catalog
`;
  return text(200, page, { "content-type": "text/plain; charset=utf-8" });
}
