/** `GET /v2/`: "is this a registry?" (distribution-spec, "Determining Support", end-1). */
import type { Context } from "../context.ts";
import { jsonDocument } from "../http/representation.ts";
import type { Representation } from "../http/representation.ts";
import { SIGNATURES_HEADER } from "./signatures.ts";

export function getBase({ options }: Context): Representation {
  return jsonDocument({}, { ...(options.signaturesEnabled && { headers: SIGNATURES_HEADER }), cacheable: {} });
}
