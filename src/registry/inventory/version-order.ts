/** The order of tags for people: by version numbers, so that 1.10 comes after 1.9, and a release after its candidates. */

/** Words of versions that come before the release: `1.0-rc.1` is older than `1.0`. */
const BEFORE_RELEASE = /[-._](alpha|beta|rc|pre|preview|dev|snapshot|nightly)(?=\d|[-._]|$)/gi;

/** Stands before a word of `BEFORE_RELEASE`, and sorts before the end of a text. */
const EARLIER = "\u0000";
const END = "\u0001";

/**
 * Returns a text by which tags compare in the order of versions, letter by letter: a number is written with its length before
 * it, and `v1` is the same as `1`. The tag itself is its last part, so that no two tags have the same.
 */
export function versionKey(tag: string): string {
  const words = tag.replace(/^v(?=\d)/i, "").replaceAll(BEFORE_RELEASE, `${EARLIER}$1`);
  const numbered = words.replaceAll(/\d+/g, (digits) => {
    const number = digits.replace(/^0+(?=\d)/, "");
    const { length } = number;
    return `${"9".repeat(Math.floor(length / 9))}${length % 9}${number}`; // a length of 10 is "91", and comes behind "8"
  });
  return `${numbered}${END}${tag}`;
}

/** Compares by code units, as `versionKey` wants it. */
export function compareTexts(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
