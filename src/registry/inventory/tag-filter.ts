/** Which tags people look for: a filter looks at all tags of a repository, so it has to be quick for each. */

/**
 * Returns whether a tag has the letters, in upper or lower case, or matches the pattern, when there is a star among them. It says the
 * same as `lib/glob.ts` says of tags: they have no slashes, so that a star is any number of any characters.
 */
export function tagFilter(letters: string): (tag: string) => boolean {
  if (!letters.includes("*")) {
    const lower = letters.toLowerCase();
    return (tag) => tag.toLowerCase().includes(lower);
  }
  const parts = letters.split(/\*+/);
  const [start = "", end = ""] = [parts[0], parts.at(-1)];
  const between = parts.slice(1, -1);
  return (tag) => {
    const until = tag.length - end.length;
    if (until < start.length || !tag.startsWith(start) || !tag.endsWith(end)) return false;
    let at = start.length;
    for (const part of between) {
      const found = tag.indexOf(part, at);
      if (found < 0 || found + part.length > until) return false;
      at = found + part.length;
    }
    return true;
  };
}
