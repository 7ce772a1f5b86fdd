/** What a person sees who opens the address in a browser. */
import type { Context } from "../context.ts";
import { text } from "../reply.ts";
import type { Reply } from "../reply.ts";

export function getWelcome({ request, options }: Context): Reply {
  const { host } = new URL(request.url);
  const page = `This is Stowage ${options.version}, a registry of container images. It is up.

Push an image to it:

  docker tag IMAGE ${host}/IMAGE
  docker push ${host}/IMAGE

and pull it:

  docker pull ${host}/IMAGE

What it holds:  curl http://${host}/v2/_catalog
`;
  return text(200, page, { "content-type": "text/plain; charset=utf-8" });
}
