/** Conditions on a tag, as conditional requests make them. */
import { OciError } from "./error.ts";

/** What must hold of a tag before it is changed (RFC 9110, 13.1): whether it exists, or what it points at. */
export type TagCondition =
  | { readonly kind: "exists" | "absent" }
  | { readonly kind: "is" | "is not"; readonly digests: readonly string[] }
  | { readonly kind: "all"; readonly of: readonly TagCondition[] };

/** "The server MUST … respond with 412" when a condition does not hold (RFC 9110, 13.1.1 and 13.1.2). */
export function conditionFailed(): OciError {
  return new OciError("UNSUPPORTED", {
    status: 412,
    message: "the precondition If-Match or If-None-Match failed: nothing was changed; read the tag again",
  });
}
