/** Patterns of tags, such as `v*`, as statements compare them: `name like value escape '!'`. */
import { ANY_ONE, DOUBLE_STAR, ONE, STAR, globTokens } from "../lib/glob.ts";

/** What stands for itself behind the escape character alone. */
const ESCAPED = /[%_!]/;

const LIKE_OF: ReadonlyMap<number, string> = new Map([
  [STAR, "%"],
  [DOUBLE_STAR, "%"],
  [ONE, "_"],
  [ANY_ONE, "_"],
]);

/**
 * Returns the pattern of LIKE that matches the same tags as the pattern of `glob.ts`: a tag has no slash and no control
 * character, so all stars are alike.
 */
export function likeOf(pattern: string): string {
  const parts = globTokens(pattern).map((token) => {
    const letter = String.fromCharCode(token);
    return LIKE_OF.get(token) ?? (ESCAPED.test(letter) ? `!${letter}` : letter);
  });
  return parts.join("");
}

/** Patterns as one value of a statement, which reads them by `json_each`. */
export function likePatterns(patterns: readonly string[]): string {
  return JSON.stringify(patterns.map(likeOf));
}

/** Returns the part of a pattern of LIKE, with `escape '!'`, that stands for the text itself. */
export function likeText(text: string): string {
  return text.replaceAll(/[%_!]/g, "!$&");
}
