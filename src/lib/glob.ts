/** Patterns for names with slashes, as people write them: `team/*`, `team/**`, `release-*`. */

/** Whether a name matches a pattern. */
export type Glob = (name: string) => boolean;

/** UTF-16 code units. No name is longer, nor any claim that is worth a rule. */
export const MAX_MATCHED_LENGTH = 1024;

/** What a pattern consists of, beside letters that stand for themselves (their code units, which are not negative). */
export const STAR = -1; // any number of characters but slashes
export const DOUBLE_STAR = -2; // any number of characters
export const ONE = -3; // one character that is no slash
export const ANY_ONE = -4; // one character

const SLASH = 0x2f;

/**
 * `*` matches any number of characters but slashes, `**` any characters at all; where they are all that stands between two
 * slashes, at least one. Everything else matches itself. So `team/**` is what lies below `team/`, at any depth.
 *
 * Neither matches control characters and line breaks. A name of more than `MAX_MATCHED_LENGTH` matches nothing but itself.
 * The time is bounded by the length of the pattern times that of the name, whatever they are.
 */
export function glob(pattern: string): Glob {
  if (!pattern.includes("*")) return (name) => name === pattern;
  const prefix = pattern.slice(0, pattern.indexOf("*"));
  const tokens = tokensOf(pattern, prefix.length);
  const row = new Uint8Array(tokens.length + 1);
  return (name) =>
    name.length <= MAX_MATCHED_LENGTH && name.startsWith(prefix) && matches(tokens, name, prefix.length, row);
}

/** Whether a name matches one of the patterns. */
export function matchesAny(patterns: readonly string[], name: string): boolean {
  return patterns.some((pattern) => glob(pattern)(name));
}

/** All tokens of a pattern; letters that stand for themselves are their code units. */
export function globTokens(pattern: string): readonly number[] {
  return tokensOf(pattern, 0);
}

/** The tokens of a pattern from a place on. */
function tokensOf(pattern: string, start: number): readonly number[] {
  const tokens: number[] = [];
  for (let at = start; at < pattern.length;) {
    if (pattern[at] !== "*") {
      tokens.push(pattern.charCodeAt(at++));
      continue;
    }
    const begin = at;
    while (pattern[at] === "*") at++;
    const crossesSlashes = at - begin > 1;
    const isWholePart = (begin === 0 || pattern[begin - 1] === "/") && (at === pattern.length || pattern[at] === "/");
    if (isWholePart) tokens.push(crossesSlashes ? ANY_ONE : ONE);
    tokens.push(crossesSlashes ? DOUBLE_STAR : STAR);
  }
  return tokens;
}

/**
 * Follows all ways through the pattern at once, one character after the other: `row[n]` says whether the first `n` tokens
 * match what was read so far. Nothing is ever tried twice, as a regular expression does for each star.
 */
function matches(tokens: readonly number[], name: string, start: number, row: Uint8Array): boolean {
  row.fill(0);
  row[0] = 1;
  for (const [n, token] of tokens.entries()) {
    if (!isStar(token)) break;
    row[n + 1] = 1;
  }
  for (let at = start; at < name.length; at++) {
    const unit = name.charCodeAt(at);
    if (isControl(unit)) return false;
    let [before, now, isAlive] = [row[0] ?? 0, 0, 0];
    row[0] = 0;
    for (let n = 0; n < tokens.length; n++) {
      const token = tokens[n];
      const was = row[n + 1] ?? 0;
      if (token === STAR) now |= unit === SLASH ? 0 : was;
      else if (token === DOUBLE_STAR) now |= was;
      else now = token === unit || token === ANY_ONE || (token === ONE && unit !== SLASH) ? before : 0;
      row[n + 1] = now;
      isAlive |= now;
      before = was;
    }
    if (isAlive === 0) return false;
  }
  return row[tokens.length] === 1;
}

function isStar(token: number): boolean {
  return token === STAR || token === DOUBLE_STAR;
}

/** C0, DEL and C1, and the line breaks of Unicode. */
function isControl(unit: number): boolean {
  return unit < 0x20 || (unit >= 0x7f && unit < 0xa0) || unit === 0x2028 || unit === 0x2029;
}
