/** `GET /v2/`: "is this a registry?" (distribution-spec, "Determining Support", end-1). */
import { json } from "../reply.ts";
import type { Reply } from "../reply.ts";

export function getBase(): Reply {
  return json(200, {});
}
