/**
 * Docker's image manifest, version 2, schema 1: signed documents of the time before content was addressed by digests.
 *
 * The document holds its own signatures (JWS, RFC 7515, in libtrust's form). What was signed, the **payload**, is the
 * document without them; the digest is the payload's, not that of the bytes that travel.
 */
import { createPublicKey, verify, X509Certificate } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { parseDigest } from "./digest.ts";
import type { Digest } from "./digest.ts";
import { OciError } from "./error.ts";
import { invalidManifest } from "./invalid-manifest.ts";
import { parseManifestObject } from "./manifest-object.ts";
import { DOCKER_SCHEMA1, DOCKER_SCHEMA1_SIGNED } from "./media-type.ts";

export interface Schema1Manifest {
  /** What was signed, and what the digest is taken of. */
  readonly payload: Uint8Array;
  /** The repository and the tag that the document was made for. */
  readonly name: string;
  readonly tag: string;
  /** Its layers, newest first; one that adds nothing may stand there often. */
  readonly layers: readonly Digest[];
}

type Fields = Readonly<Record<string, unknown>>;

/**
 * Whether a manifest that came with the `Content-Type` essence `declared` is of schema 1. Docker 1.5 and before sent
 * `application/json`, or none.
 */
export function isSchema1(bytes: Uint8Array, declared: string | undefined): boolean {
  if (declared === DOCKER_SCHEMA1 || declared === DOCKER_SCHEMA1_SIGNED) return true;
  if (declared !== undefined && declared !== "application/json") return false;
  // Megabytes of another kind of manifest are not parsed for this.
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).includes(LAYERS) && schemaVersionOf(bytes) === 1;
}

/** A document of schema 1 has a member of this name. */
const LAYERS = "fsLayers";

function schemaVersionOf(bytes: Uint8Array): unknown {
  return parseManifestObject(bytes)["schemaVersion"];
}

/**
 * Reads a signed manifest and verifies every signature in it. Refused with `MANIFEST_INVALID` when it is none, with
 * `MANIFEST_UNVERIFIED` when it is not signed, or not by whom it says.
 */
export function readSchema1(bytes: Uint8Array): Schema1Manifest {
  const document = parseManifestObject(bytes);
  if (document["schemaVersion"] !== 1) throw invalidManifest("schemaVersion", "must be 1 in a manifest of this type");
  const { signatures, ...unsigned } = document;
  const payload = verifiedPayload(bytes, signatures);
  // What a reader of the whole document sees must be what was signed.
  if (JSON.stringify(parseManifestObject(payload)) !== JSON.stringify(unsigned)) {
    throw unverified("the signed payload differs from the document");
  }
  const { name, tag, fsLayers, history } = unsigned;
  if (typeof name !== "string") throw invalidManifest("name", "must be a string");
  if (typeof tag !== "string") throw invalidManifest("tag", "must be a string");
  if (!Array.isArray(fsLayers) || fsLayers.length === 0) throw invalidManifest("fsLayers", "must be a list of layers");
  if (!Array.isArray(history) || history.length !== fsLayers.length) {
    throw invalidManifest("history", "must have as many entries as fsLayers");
  }
  return {
    payload,
    name,
    tag,
    layers: fsLayers.map((layer: unknown, at) => layerOf(layer, `fsLayers[${at}].blobSum`)),
  };
}

function layerOf(layer: unknown, path: string): Digest {
  const sum = isFields(layer) ? layer["blobSum"] : undefined;
  const digest = typeof sum === "string" ? parseDigest(sum) : undefined;
  if (digest === undefined) throw invalidManifest(path, "must be a digest such as sha256: and 64 hexadecimal digits");
  return digest;
}

/** The bytes that all signatures were made of. */
function verifiedPayload(bytes: Uint8Array, signatures: unknown): Uint8Array {
  if (!Array.isArray(signatures) || signatures.length === 0) throw unverified("it has no signatures");
  let payload: Uint8Array | undefined;
  for (const signature of signatures.slice(0, MAX_SIGNATURES + 1)) {
    if (!isFields(signature)) throw unverified("a signature is not an object");
    const own = payloadOf(bytes, signature);
    if (payload && Buffer.compare(payload, own) !== 0) throw unverified("its signatures sign different documents");
    payload = own;
    checkSignature(signature, own);
  }
  if (!payload || signatures.length > MAX_SIGNATURES) {
    throw unverified(`it has more than ${MAX_SIGNATURES} signatures`);
  }
  return payload;
}

/** Checking one costs a fraction of a millisecond. */
const MAX_SIGNATURES = 16;

/** The document up to `formatLength`, closed by `formatTail`: as it was before the signatures were put in. */
function payloadOf(bytes: Uint8Array, signature: Fields): Uint8Array {
  const { formatLength, formatTail } = protectedOf(signature);
  if (!Number.isSafeInteger(formatLength) || (formatLength as number) < 0 || (formatLength as number) > bytes.length) {
    throw unverified("a signature's formatLength is not within the document");
  }
  const tail = base64url(formatTail, "formatTail");
  return Buffer.concat([bytes.subarray(0, formatLength as number), tail]);
}

function protectedOf(signature: Fields): Fields {
  try {
    const value: unknown = JSON.parse(base64url(signature["protected"], "protected").toString("utf8"));
    if (isFields(value)) return value;
  } catch (error) {
    if (error instanceof OciError) throw error;
  }
  throw unverified("a signature's protected header is not a JSON object");
}

/** Names of RFC 7518, 3.1. */
const HASHES: Readonly<Record<string, { readonly hash: string; readonly kind: "ec" | "rsa" }>> = {
  ES256: { hash: "sha256", kind: "ec" },
  ES384: { hash: "sha384", kind: "ec" },
  ES512: { hash: "sha512", kind: "ec" },
  RS256: { hash: "sha256", kind: "rsa" },
  RS384: { hash: "sha384", kind: "rsa" },
  RS512: { hash: "sha512", kind: "rsa" },
};

function checkSignature(signature: Fields, payload: Uint8Array): void {
  const header = isFields(signature["header"]) ? signature["header"] : {};
  const algorithm = typeof header["alg"] === "string" ? HASHES[header["alg"]] : undefined;
  if (!algorithm) throw unverified("a signature has an algorithm other than ES256 to ES512 and RS256 to RS512");
  const key = keyOf(header);
  if (key.asymmetricKeyType !== algorithm.kind) throw unverified("a signature's key does not match its algorithm");
  // The signing input of RFC 7515, 5.1.
  const input = `${signature["protected"] as string}.${Buffer.from(payload).toString("base64url")}`;
  const value = base64url(signature["signature"], "signature");
  // "the octet sequence representations of R and S" (RFC 7518, 3.4), not DER.
  const isGood = verify(algorithm.hash, Buffer.from(input), { key, dsaEncoding: "ieee-p1363" }, value);
  if (!isGood) throw unverified("a signature is wrong");
}

/** Returns the key in the signature, which identifies no one. */
function keyOf(header: Fields): KeyObject {
  const { jwk, x5c } = header;
  try {
    if (isFields(jwk)) return createPublicKey({ key: jwk, format: "jwk" });
    if (Array.isArray(x5c) && typeof x5c[0] === "string") {
      return new X509Certificate(Buffer.from(x5c[0], "base64")).publicKey;
    }
  } catch {
    // said below
  }
  throw unverified("a signature has no readable key");
}

function base64url(text: unknown, what: string): Buffer {
  const bytes = Buffer.from(typeof text === "string" ? text : "", "base64url");
  // Written in the one way that there is: nothing of what a signature says can be changed unnoticed (RFC 4648, 3.5).
  if (bytes.toString("base64url") !== text) throw unverified(`a signature's ${what} is not base64url`);
  return bytes;
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function unverified(reason: string): OciError {
  return new OciError("MANIFEST_UNVERIFIED", {
    message: `the manifest's signatures cannot be verified: ${reason}`,
    detail: { reason },
  });
}
