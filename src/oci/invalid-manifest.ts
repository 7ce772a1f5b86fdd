/** How a manifest that is not one is refused. */
import { OciError } from "./error.ts";

/** `MANIFEST_INVALID`, with the place in the document (empty for the document itself) and what is expected there. */
export function invalidManifest(path: string, expected: string): OciError {
  const place = path === "" ? "the manifest" : path;
  return new OciError("MANIFEST_INVALID", {
    message: `manifest invalid: ${place.slice(0, 256)} ${expected}`,
    detail: { path: path.slice(0, 256), reason: expected },
  });
}
