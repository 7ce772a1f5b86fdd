/** Where in an ordered list names can stand that match a pattern: what cannot match is skipped, not looked through. */
import { ANY_ONE, DOUBLE_STAR, ONE, STAR, globTokens } from "./glob.ts";

/** A part of an ordered list: names from `from` on and before `until`, or to the end when that is absent. */
export interface NameRange {
  readonly from: string;
  readonly until?: string | undefined;
}

/**
 * Returns where from `text` on names can stand that match: none stands between `text` and `from`, which is `text` itself when
 * that matches, and where else one can stand is to be asked from `until` on. Returns undefined when no name behind `text`
 * matches.
 */
export type Seek = (text: string) => NameRange | undefined;

/**
 * For lists in byte order of names that consist of the characters of `alphabet`, given in that order. A pattern `team/**` is
 * the range from `team/` to `team0`; one with a star in its midst skips what the letters behind the star rule out.
 */
export function globSeek(pattern: string, alphabet: string): Seek {
  const seek = startSeek(globTokens(pattern), alphabet);
  const star = pattern.indexOf("*");
  const until = star < 0 ? pattern + (alphabet[0] ?? "") : behindPrefix(pattern.slice(0, star));
  return (text) => {
    const from = seek(text);
    return from === undefined ? undefined : { from, until };
  };
}

/** The first text that is greater than all with a prefix; undefined for none. */
function behindPrefix(prefix: string): string | undefined {
  if (prefix === "") return undefined;
  return prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1);
}

/** Finds the text, from a text on, before which no name matches. */
function startSeek(tokens: readonly number[], alphabet: string): (text: string) => string | undefined {
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
    let first: NameRange | undefined;
    for (const seek of seeks) {
      const found = seek(text);
      if (found && (!first || found.from < first.from || (found.from === first.from && endsLater(found, first))))
        first = found;
    }
    return first;
  };
}

function endsLater(one: NameRange, other: NameRange): boolean {
  return other.until !== undefined && (one.until === undefined || one.until > other.until);
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
