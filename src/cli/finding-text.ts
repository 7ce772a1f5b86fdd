/** How findings of `check` and `backup` are printed. */
import { escapeControls } from "../lib/control-characters.ts";
import { formatSize } from "../lib/size.ts";
import type { Finding } from "../registry/check.ts";

type BlobFinding = Omit<Exclude<Finding, { readonly kind: "unknown file" }>, "kind">;

/** Lines for a person: what is wrong, with what, and which images need it. */
export function findingText(finding: Finding | (BlobFinding & { readonly kind: "unreadable" })): string {
  if (finding.kind === "unknown file") {
    return `unknown file    ${escapeControls(finding.key)} (${formatSize(finding.size)}): not in the database\n`;
  }
  const place = finding.key ?? "in the database";
  const images = finding.images.map(({ repository, digest, tags }) => {
    const names = tags.length > 0 ? tags.map((tag) => `${repository}:${tag}`).join(", ") : `${repository}@${digest}`;
    return `                referenced by ${names}\n`;
  });
  return `${finding.kind.padEnd(15)} ${finding.digest} (${place})\n${images.join("")}`;
}
