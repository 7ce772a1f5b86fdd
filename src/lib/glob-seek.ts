/** Where in an ordered list names can stand that match a pattern: what cannot match is skipped, not looked through. */
import { ANY_ONE, DOUBLE_STAR, ONE, STAR, globTokens } from "./glob.ts";

/**
 * Returns a text, from `text` on, before which no name matches: `text` itself when that matches. Returns undefined when no
 * name behind `text` does.
 */
export type Seek = (text: string) => string | undefined;

/**
 * For lists in byte order of names that consist of the characters of `alphabet`, given in that order. A pattern `team/**`
 * skips all before `team/` and all behind it; one with a star in its midst skips what the letters behind the star rule out.
 */
export function globSeek(pattern: string, alphabet: string): Seek {
  const tokens = globTokens(pattern);
  return (text) => {
    // The ways through the pattern that are still open before each character of the text.
    const open: ReadonlySet<number>[] = [closed(tokens, [0])];
    for (let at = 0; at < text.length; at++) {
      const next = step(tokens, open[at] as ReadonlySet<number>, text[at] as string);
      if (next.size > 0) {
        open.push(next);
        continue;
      }
      // What matches behind the text has a greater character here, or before.
      for (let turn = at; turn >= 0; turn--) {
        const places = open[turn] as ReadonlySet<number>;
        const greater = smallestAbove(tokens, places, text[turn] as string, alphabet);
        if (greater === undefined) continue;
        return text.slice(0, turn) + greater + beginning(tokens, step(tokens, places, greater), alphabet);
      }
      return undefined;
    }
    return text + beginning(tokens, open.at(-1) ?? new Set(), alphabet);
  };
}

/** How the first text continues that matches, as far as the pattern says: all of its letters up to a star. */
function beginning(tokens: readonly number[], places: ReadonlySet<number>, alphabet: string): string {
  let text = "";
  for (let now = places; !now.has(tokens.length) && text.length < tokens.length;) {
    const next = smallestAbove(tokens, now, "", alphabet);
    if (next === undefined) break;
    text += next;
    now = step(tokens, now, next);
  }
  return text;
}

/** Of several patterns, of which any may match. */
export function seekAny(seeks: readonly Seek[]): Seek {
  return (text) => {
    let first: string | undefined;
    for (const seek of seeks) {
      const found = seek(text);
      if (found === text) return text;
      if (found !== undefined && (first === undefined || found < first)) first = found;
    }
    return first;
  };
}

/** The places with those that stars lead to without taking a character. */
function closed(tokens: readonly number[], places: Iterable<number>): ReadonlySet<number> {
  const all = new Set(places);
  for (const place of all) if (isStar(tokens[place])) all.add(place + 1);
  return all;
}

function step(tokens: readonly number[], places: ReadonlySet<number>, character: string): ReadonlySet<number> {
  const next: number[] = [];
  for (const place of places) {
    const token = tokens[place];
    if (token === undefined || !takes(token, character)) continue;
    next.push(isStar(token) ? place : place + 1);
  }
  return closed(tokens, next);
}

function smallestAbove(
  tokens: readonly number[],
  places: ReadonlySet<number>,
  character: string,
  alphabet: string,
): string | undefined {
  for (const greater of alphabet) {
    if (greater <= character) continue;
    for (const place of places) if (takes(tokens[place], greater)) return greater;
  }
  return undefined;
}

function takes(token: number | undefined, character: string): boolean {
  if (token === undefined) return false;
  if (token === DOUBLE_STAR || token === ANY_ONE) return true;
  if (token === STAR || token === ONE) return character !== "/";
  return token === character.charCodeAt(0);
}

function isStar(token: number | undefined): boolean {
  return token === STAR || token === DOUBLE_STAR;
}
