/** The JSON object that every manifest is, before anything is known of its type. */
import { readObject } from "./descriptor.ts";
import { invalidManifest } from "./invalid-manifest.ts";
import { repeatedKey } from "./json-keys.ts";

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A quotation mark inside a string is escaped: this matches keys alone, at any depth. */
const INEXACT_SIZE = /"size"\s*:\s*-?\d+[.eE]/;

/**
 * Makes a size that is written with a fraction or an exponent no number: `600.0` and `6e2` are 600 here, and readers in Go
 * refuse the whole manifest. A runtime that does not show how a number was written leaves it as it is (Node 20).
 */
function withoutInexactSizes(key: string, value: unknown, context?: { readonly source?: string }): unknown {
  return key === "size" && typeof value === "number" && /[.eE]/.test(context?.source ?? "") ? Number.NaN : value;
}

/** Refused with `MANIFEST_INVALID` when the bytes are no JSON object in UTF-8, or a key stands in it twice. */
export function parseManifestObject(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  let text: string;
  let value: unknown;
  try {
    text = utf8.decode(bytes);
    value = JSON.parse(text, INEXACT_SIZE.test(text) ? withoutInexactSizes : undefined);
  } catch {
    throw invalidManifest("", "must be a JSON object in UTF-8");
  }
  const fields = readObject(value, "");
  const repeated = repeatedKey(text);
  if (repeated !== undefined) throw invalidManifest(repeated, "is a duplicate key");
  return fields;
}
