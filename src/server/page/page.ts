/** The page for people: its document, the same at every address of it, and the files that this names. */
import { createHash } from "node:crypto";
import { OciError } from "../../oci/error.ts";
import type { Context } from "../context.ts";
import { bytesBody, textBody } from "../http/reply.ts";
import type { Representation } from "../http/representation.ts";
import { PAGE_FILES, documentBelow } from "./built.ts";

/** What the page may do: load from this registry alone, and lie in no frame (Content Security Policy Level 3). */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'self'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

/** The document. What it shows is in the address, which the browser reads. */
export function getPage({ options }: Context): Representation {
  const document = documentBelow(options.origins.prefix);
  return {
    digest: createHash("sha256").update(document).digest("base64url").slice(0, 27),
    headers: { "cache-control": "no-cache", vary: "Accept" },
    contentHeaders: {
      "content-type": "text/html; charset=utf-8",
      "content-security-policy": POLICY,
      "referrer-policy": "no-referrer",
    },
    size: Buffer.byteLength(document),
    body: textBody(document),
  };
}

/** A file that the document names. Its name holds its hash, so that browsers keep it. */
export function getPageFile({ request }: Context, { file }: { readonly file: string }): Representation {
  const found = PAGE_FILES.get(file);
  if (!found) throw new OciError("UNSUPPORTED", { status: 404, message: "unknown path" });
  const isGzipped = acceptsGzip(request.headers.get("accept-encoding"));
  const bytes = isGzipped ? found.gzipped : found.plain;
  return {
    headers: { "cache-control": "public, max-age=31536000, immutable", vary: "Accept-Encoding" },
    contentHeaders: { "content-type": found.type, ...(isGzipped && { "content-encoding": "gzip" }) },
    size: bytes.length,
    body: bytesBody(bytes),
  };
}

/** Whether a client takes gzip (RFC 9110, 12.5.3). */
function acceptsGzip(accepted: string | null): boolean {
  return (accepted ?? "").split(",").some((each) => /^\s*gzip\s*(?:;\s*q=(?!0(?:\.0*)?\s*$)|$)/i.test(each));
}
