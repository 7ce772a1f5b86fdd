/** Patterns for names with slashes, as people write them: `team/*`, `team/**`, `release-*`. */

/** Whether a name fits a pattern. */
export type Glob = (name: string) => boolean;

/**
 * `*` stands for any letters but a slash, `**` for any letters at all; everything else for itself. `team/**` is what lies
 * below `team/`, at any depth.
 */
export function glob(pattern: string): Glob {
  if (pattern === "**") return () => true;
  if (!pattern.includes("*")) return (name) => name === pattern;
  const body = pattern
    .split(/(\*\*|\*)/)
    .map((part) => (part === "**" ? ".*" : part === "*" ? "[^/]*" : RegExp.escape(part)));
  const expression = new RegExp(`^${body.join("")}$`, "s");
  return (name) => expression.test(name);
}
