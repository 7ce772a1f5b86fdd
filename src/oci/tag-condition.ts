/** Conditions on a tag, as conditional requests make them. */

/** What must hold of a tag before it is changed (RFC 9110, 13.1): whether it exists, or what it points at. */
export type TagCondition =
  | { readonly kind: "exists" | "absent" }
  | { readonly kind: "is" | "is not"; readonly digests: readonly string[] }
  | { readonly kind: "all"; readonly of: readonly TagCondition[] };
