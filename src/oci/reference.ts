/** `<tag-or-digest>`: how a manifest is named in a request. */
import { digest } from "./digest.ts";
import type { Digest } from "./digest.ts";
import { parseTag } from "./tag.ts";
import type { Tag } from "./tag.ts";

export type Reference =
  | { readonly kind: "tag"; readonly tag: Tag }
  | { readonly kind: "digest"; readonly digest: Digest };

/**
 * What `text` names: with a colon it is a digest or an error (`DIGEST_INVALID`), never a tag. Undefined when it can
 * be neither, as when control characters come before the colon: that is no attempt at a digest.
 */
export function parseReference(text: string): Reference | undefined {
  if (text.includes(":") && !/^[^:]*\p{Cc}/u.test(text)) return { kind: "digest", digest: digest(text) };
  const tag = parseTag(text);
  return tag && { kind: "tag", tag };
}

/** As a path spells it. */
export function textOf(reference: Reference): string {
  return reference.kind === "tag" ? reference.tag : reference.digest;
}
