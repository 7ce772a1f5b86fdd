/** Conditional requests (RFC 9110, 13). An entity tag is the digest in quotes; clients that leave those out are understood. */
import { conditionFailed } from "../../oci/tag-condition.ts";
import type { TagCondition } from "../../oci/tag-condition.ts";

export function entityTag(digest: string): string {
  return `"${digest}"`;
}

/**
 * Whether a GET or HEAD is answered with 304, because the client says that it has `digest` already. Throws the refusal with 412
 * when `If-Match` names something else.
 */
export function isNotModified(headers: Headers, digest: string): boolean {
  const wanted = headers.get("if-match");
  if (wanted !== null && !matchesStrongly(wanted, digest)) throw conditionFailed();
  const known = headers.get("if-none-match");
  return known !== null && matches(known, digest);
}

/** Whether a range may be served: `If-Range` is absent, or names exactly what is here (RFC 9110, 13.1.5). */
export function rangeApplies(headers: Headers, digest: string | undefined): boolean {
  const condition = headers.get("if-range");
  return condition === null || (digest !== undefined && condition.trim() === entityTag(digest));
}

/** What a PUT or DELETE demands of the tag that it is about to change; both headers count (RFC 9110, 13.2.2). */
export function tagCondition(headers: Headers): TagCondition | undefined {
  const [match, noneMatch] = [headers.get("if-match"), headers.get("if-none-match")];
  const conditions: TagCondition[] = [];
  if (match !== null) {
    conditions.push(match.trim() === "*" ? { kind: "exists" } : { kind: "is", digests: strongTagsIn(match) });
  }
  if (noneMatch !== null) {
    conditions.push(noneMatch.trim() === "*" ? { kind: "absent" } : { kind: "is not", digests: tagsIn(noneMatch) });
  }
  return conditions.length > 1 ? { kind: "all", of: conditions } : conditions[0];
}

function matches(header: string, digest: string): boolean {
  return header.trim() === "*" || tagsIn(header).includes(digest);
}

/** "A client MUST use the strong comparison function": for `If-Match` a weak tag is no match (RFC 9110, 13.1.1). */
function matchesStrongly(header: string, digest: string): boolean {
  return header.trim() === "*" || strongTagsIn(header).includes(digest);
}

/** The digests in a list of entity tags, strong or weak. */
function tagsIn(header: string): readonly string[] {
  return header.split(",").map((each) =>
    each
      .trim()
      .replace(/^W\//, "")
      .replace(/^"(.*)"$/, "$1"),
  );
}

function strongTagsIn(header: string): readonly string[] {
  return tagsIn(header.replaceAll(/W\/(?:"[^"]*"|[^,\s]*)/g, ""));
}
