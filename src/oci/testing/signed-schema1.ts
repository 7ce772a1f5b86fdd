/** Makes signed manifests of Docker's schema 1, as docker's libtrust does. */
import { createHash, generateKeyPairSync, sign } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { digestOf } from "../digest.ts";
import type { Digest } from "../digest.ts";

export interface Signer {
  readonly alg: string;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

const HASHES: Readonly<Record<string, string>> = {
  ES256: "sha256",
  ES384: "sha384",
  ES512: "sha512",
  RS256: "sha256",
  RS384: "sha384",
  RS512: "sha512",
};

const CURVES: Readonly<Record<string, string>> = { ES256: "P-256", ES384: "P-384", ES512: "P-521" };

export function signer(alg: string): Signer {
  const curve = CURVES[alg];
  const pair =
    curve === undefined
      ? generateKeyPairSync("rsa", { modulusLength: 2048 })
      : generateKeyPairSync("ec", { namedCurve: curve });
  return { alg, ...pair };
}

/** A document that says all that has to be said, for layers that were pushed before. */
export function schema1Document(name: string, tag: string, layers: readonly string[]): Record<string, unknown> {
  return {
    schemaVersion: 1,
    name,
    tag,
    architecture: "amd64",
    fsLayers: layers.map((blobSum) => ({ blobSum })),
    history: layers.map((layer) => ({ v1Compatibility: JSON.stringify({ id: layer.slice(-64) }) })),
  };
}

/** The bytes that docker would send, and the digest of what was signed. */
export function signed(
  document: Readonly<Record<string, unknown>>,
  ...signers: readonly Signer[]
): { readonly bytes: Uint8Array<ArrayBuffer>; readonly digest: Digest } {
  const payload = JSON.stringify(document, undefined, 3);
  const formatLength = payload.lastIndexOf("\n}");
  const head = payload.slice(0, formatLength);
  const tail = payload.slice(formatLength);
  const signatures = signers.map((each) => signature(payload, formatLength, tail, each));
  const text = `${head},\n   "signatures": ${JSON.stringify(signatures, undefined, 3)}\n}`;
  return { bytes: new TextEncoder().encode(text), digest: digestOf(new TextEncoder().encode(payload)) };
}

function signature(
  payload: string,
  formatLength: number,
  tail: string,
  { alg, privateKey, publicKey }: Signer,
): object {
  const time = "2015-06-01T12:00:00Z";
  const header = JSON.stringify({ formatLength, formatTail: base64url(tail), time });
  const input = `${base64url(header)}.${base64url(payload)}`;
  const value = sign(HASHES[alg], Buffer.from(input), { key: privateKey, dsaEncoding: "ieee-p1363" });
  const jwk = { ...publicKey.export({ format: "jwk" }), kid: kidOf(publicKey) };
  return { header: { jwk, alg }, signature: value.toString("base64url"), protected: base64url(header) };
}

/** The first 240 bits of the hash of the key, in base32, in groups of four. */
function kidOf(key: KeyObject): string {
  const hash = createHash("sha256")
    .update(key.export({ format: "der", type: "spki" }))
    .digest()
    .subarray(0, 30);
  const bits = Array.from(hash, (byte) => byte.toString(2).padStart(8, "0")).join("");
  const letters = bits.match(/.{5}/g)?.map((five) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[Number.parseInt(five, 2)]);
  return letters?.join("").match(/.{4}/g)?.join(":") ?? "";
}

function base64url(text: string): string {
  return Buffer.from(text).toString("base64url");
}
