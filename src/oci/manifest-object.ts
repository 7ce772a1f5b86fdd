/** The JSON object that every manifest is, before anything is known of its type. */
import { readObject } from "./descriptor.ts";
import { invalidManifest } from "./invalid-manifest.ts";
import { repeatedKey } from "./json-keys.ts";

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Refused with `MANIFEST_INVALID` when the bytes are no JSON object in UTF-8, or a key stands in it twice. */
export function parseManifestObject(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  let text: string;
  let value: unknown;
  try {
    text = utf8.decode(bytes);
    value = JSON.parse(text);
  } catch {
    throw invalidManifest("", "must be a JSON object in UTF-8");
  }
  const fields = readObject(value, "");
  const repeated = repeatedKey(text);
  if (repeated !== undefined) throw invalidManifest(repeated, "must stand in the manifest only once");
  return fields;
}
