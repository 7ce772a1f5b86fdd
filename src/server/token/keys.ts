/** The public keys of the registry's tokens, as a JWKS (RFC 7517). */
import type { Context } from "../context.ts";
import { jsonDocument } from "../http/representation.ts";
import type { Representation } from "../http/representation.ts";
import { issuerOf } from "./token.ts";

export async function getKeys({ options }: Context): Promise<Representation> {
  return jsonDocument(await issuerOf(options).service.published(), { headers: { "cache-control": "max-age=300" } });
}
