/** The JSON object that every manifest is, before anything is known of its type. */
import { readObject } from "./descriptor.ts";
import type { OciError } from "./error.ts";
import { exceededBound } from "./json-bounds.ts";
import type { JsonBounds } from "./json-bounds.ts";
import { invalidManifest } from "./invalid-manifest.ts";
import { repeatedKey } from "./json-keys.ts";

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** As many values as 4 MiB of the shortest descriptors have. */
const BOUNDS: JsonBounds = { values: 120_000, depth: 100 };

/**
 * A size that is written with a fraction or an exponent: `600.0` and `6e2` are 600 here, and readers in Go refuse the whole
 * manifest. A quotation mark inside a string is escaped, so this matches keys alone, at any depth.
 */
const INEXACT_SIZE =
  /("size"[ \t\r\n]*:[ \t\r\n]*)-?(?:0|[1-9]\d*)(?:\.\d+(?:[eE][+-]?\d+)?|[eE][+-]?\d+)(?=[ \t\r\n,}])/g;

/**
 * Refused with `MANIFEST_INVALID` when the bytes are no JSON object in UTF-8, have too many values, or a key stands in it
 * twice. A size that is not written as a whole number becomes `false`, which is none.
 */
export function parseManifestObject(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch {
    throw notJson();
  }
  const exceeded = exceededBound(text, BOUNDS);
  if (exceeded === "values") {
    throw invalidManifest("", `may have at most ${BOUNDS.values} values: move what is large into a blob`);
  }
  if (exceeded === "depth") throw invalidManifest("", `may be nested at most ${BOUNDS.depth} levels deep`);
  const fields = readObject(parse(text), "");
  const repeated = repeatedKey(text);
  if (repeated !== undefined) throw invalidManifest(repeated, "is a duplicate key");
  return fields;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text.replaceAll(INEXACT_SIZE, "$1false"));
  } catch {
    throw notJson();
  }
}

function notJson(): OciError {
  return invalidManifest("", "must be a JSON object in UTF-8");
}
