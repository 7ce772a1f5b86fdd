/** Tags (distribution-spec, "Pulling manifests": `<reference>` as a tag). */
import { OciError } from "./error.ts";

declare const brand: unique symbol;

/** A tag whose grammar has been checked, such as `v1.2`. */
export type Tag = string & { readonly [brand]: "Tag" };

const GRAMMAR = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;

/** The tag that `text` spells, or undefined when it spells none. */
export function parseTag(text: string): Tag | undefined {
  return GRAMMAR.test(text) ? (text as Tag) : undefined;
}

/** As `parseTag`, but a text that is no tag is refused with `TAG_INVALID`. */
export function tag(text: string): Tag {
  const parsed = parseTag(text);
  if (parsed === undefined) {
    throw new OciError("TAG_INVALID", {
      message: "invalid tag: it must match [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}",
      detail: { tag: text.slice(0, 256) },
    });
  }
  return parsed;
}
