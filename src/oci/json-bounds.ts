/** Bounds on a JSON document, found before it is parsed: parsing takes time by the values in it, not by its bytes. */
import { endOfString } from "./json-keys.ts";

export interface JsonBounds {
  /** Members of objects and items of lists, at any depth. */
  readonly values: number;
  /** Objects and lists inside each other. */
  readonly depth: number;
}

/** Which bound the text exceeds, or undefined. The text need not be JSON. */
export function exceededBound(text: string, bounds: JsonBounds): keyof JsonBounds | undefined {
  let values = 0;
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case 0x22: // "
        at = endOfString(text, at);
        break;
      case 0x7b: // {
      case 0x5b: // [
        if (++depth > bounds.depth) return "depth";
        if (++values > bounds.values) return "values";
        break;
      case 0x7d: // }
      case 0x5d: // ]
        depth--;
        break;
      case 0x2c: // ,
        if (++values > bounds.values) return "values";
        break;
      default:
    }
  }
  return undefined;
}
