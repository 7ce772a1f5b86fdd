/** Finds keys that stand twice in one JSON object: `JSON.parse` keeps the last and says nothing. */

/**
 * The first key that an object at the top of `text` holds twice, or undefined. `text` must be valid JSON. Readers
 * differ in which of two they take, and then one document means two things (RFC 7493, 2.3).
 */
export function repeatedKey(text: string): string | undefined {
  const seen = new Set<string>();
  let depth = 0;
  let expectKey = false;
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case 0x22: {
        // "
        const end = endOfString(text, at);
        if (depth === 1 && expectKey) {
          const key = JSON.parse(text.slice(at, end + 1)) as string;
          if (seen.has(key)) return key;
          seen.add(key);
          expectKey = false;
        }
        at = end;
        break;
      }
      case 0x7b: // {
        depth++;
        expectKey = depth === 1;
        break;
      case 0x5b: // [
        depth++;
        break;
      case 0x7d: // }
      case 0x5d: // ]
        depth--;
        break;
      case 0x2c: // ,
        expectKey = depth === 1;
        break;
      default:
    }
  }
  return undefined;
}

/** Where the string that opens at `start` closes; the end of the text where it does not. */
export function endOfString(text: string, start: number): number {
  for (let at = start; ;) {
    at = text.indexOf('"', at + 1); // megabytes of names and digests are passed over at the speed of memory
    if (at < 0) return text.length;
    let before = at - 1;
    while (text.charCodeAt(before) === 0x5c) before--;
    if ((at - before) % 2 === 1) return at; // else the quotation mark is escaped
  }
}
