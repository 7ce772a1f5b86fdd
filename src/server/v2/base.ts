/** `GET /v2/`: "is this a registry?" (distribution-spec, "Determining Support", end-1). */
import type { Context } from "../context.ts";
import { json } from "../http/reply.ts";
import type { Reply } from "../http/reply.ts";
import { SIGNATURES_HEADER } from "./signatures.ts";

export function getBase({ options }: Context): Reply {
  return { ...json(200, {}, options.signaturesEnabled ? SIGNATURES_HEADER : {}), holds: () => true };
}
