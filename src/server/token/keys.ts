/** The public keys of our tokens (RFC 7517), for whoever verifies them elsewhere. */
import type { Context } from "../context.ts";
import { json } from "../http/reply.ts";
import type { Reply } from "../http/reply.ts";
import { issuerOf } from "./token.ts";

export async function getKeys({ options }: Context): Promise<Reply> {
  return json(200, await issuerOf(options).service.published(), { "cache-control": "max-age=300" });
}
