/** Signatures stored beside a manifest, in the format of containers/image. */
import type { Digest } from "./digest.ts";
import { OciError } from "./error.ts";

/** A signature of a manifest: bytes under a name that is taken once. */
export interface Signature {
  /** `<manifest digest>@<id>`. */
  readonly name: string;
  readonly content: Uint8Array;
}

/** What a client puts behind the digest: 32 hexadecimal digits, or a word of its own. */
const ID = /^[A-Za-z0-9._-]{1,128}$/;

const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

/** Reads one signature of the manifest `of`; refused with `SIGNATURE_INVALID` when it is none. */
export function parseSignature(document: Uint8Array, of: Digest): Signature {
  const { schemaVersion, name, type, content } = readFields(document);
  if (schemaVersion !== 2) throw invalid("schemaVersion", "must be 2");
  if (type !== undefined && type !== "" && type !== "atomic") throw invalid("type", 'must be "atomic"');
  const [digest, id = ""] = typeof name === "string" ? splitOnce(name, "@") : [];
  if (digest !== of || !ID.test(id)) {
    throw invalid("name", "must be the manifest's digest, @ and an id such as 32 hexadecimal digits");
  }
  if (typeof content !== "string" || content.length % 4 !== 0 || !BASE64.test(content)) {
    throw invalid("content", "must be the signature in base64");
  }
  return { name: name as string, content: new Uint8Array(Buffer.from(content, "base64")) };
}

function readFields(document: Uint8Array): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(document));
  } catch {
    throw invalid("the signature", "must be a JSON object in UTF-8");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw invalid("the signature", "must be a JSON object");
  }
  return value as Readonly<Record<string, unknown>>;
}

function splitOnce(text: string, separator: string): readonly [string, string | undefined] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + separator.length)];
}

function invalid(path: string, expected: string): OciError {
  return new OciError("SIGNATURE_INVALID", {
    message: `signature invalid: ${path} ${expected}`,
    detail: { path, reason: expected },
  });
}
