/** Words for the person behind a client, beside a request that succeeded. */

/** All of them together (distribution-spec, "Warnings"): "a client … MAY … ignore" what is longer. */
const MAX_BYTES = 4096;

/**
 * The `Warning` header: `299 - "text"`, with no date, `"` and `\` escaped, and nothing but printable ASCII, as clients
 * insist. One header, whose text holds them all: clients do not part several in one. None when there is nothing to say.
 */
export function warningHeaders(warnings: readonly string[]): Readonly<Record<string, string>> {
  if (warnings.length === 0) return {};
  const text = warnings.join("; ").replaceAll(/[^\x20-\x7e]/g, "?");
  const escaped = text.slice(0, MAX_BYTES / 2 - 10).replaceAll(/["\\]/g, "\\$&");
  return { warning: `299 - "${escaped}"` };
}
