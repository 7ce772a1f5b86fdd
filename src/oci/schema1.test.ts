/** Signed manifests of Docker's schema 1. */
import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { OciError } from "./error.ts";
import { digestOf } from "./digest.ts";
import { isSchema1, readSchema1 } from "./schema1.ts";
import { schema1Document, signed, signer } from "./testing/signed-schema1.ts";

const LAYERS = [digestOf(Buffer.from("one")), digestOf(Buffer.from("two")), digestOf(Buffer.from("one"))];
const DOCUMENT = schema1Document("team/app", "v1", LAYERS);
const ES256 = signer("ES256");

function refusalOf(bytes: Uint8Array): string {
  try {
    readSchema1(bytes);
  } catch (error) {
    if (error instanceof OciError) return `${error.code}: ${error.message}`;
    throw error;
  }
  return "taken";
}

interface Editable {
  [key: string]: unknown;
  signatures: { header: Record<string, unknown>; signature: string; protected: string }[];
}

function edited(bytes: Uint8Array, edit: (document: Editable) => void): Uint8Array {
  const document = JSON.parse(Buffer.from(bytes).toString()) as Editable;
  edit(document);
  return Buffer.from(JSON.stringify(document, undefined, 3));
}

describe("a signed manifest", () => {
  for (const alg of ["ES256", "ES384", "ES512", "RS256", "RS384", "RS512"]) {
    test(`is read, and its digest is that of what was signed: ${alg}`, () => {
      const { bytes, digest } = signed(DOCUMENT, signer(alg));
      const manifest = readSchema1(bytes);
      expect(manifest).toMatchObject({ name: "team/app", tag: "v1", layers: LAYERS });
      expect(digestOf(manifest.payload)).toBe(digest);
      expect(digestOf(bytes)).not.toBe(digest);
    });
  }

  test("may be signed by several", () => {
    const { bytes, digest } = signed(DOCUMENT, ES256, signer("RS256"), signer("ES384"));
    expect(digestOf(readSchema1(bytes).payload)).toBe(digest);
  });

  test("that was changed anywhere is refused", () => {
    const { bytes } = signed(DOCUMENT, ES256);
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const changed = Buffer.from(bytes);
        changed[at]! ^= flip;
        // A signature's key id, how its key is written, and white space around the signatures are not signed.
        if (sameMeaning(changed, bytes)) return;
        expect(refusalOf(changed)).toMatch(/^MANIFEST_(?:INVALID|UNVERIFIED): /);
      }),
      { numRuns: 300 },
    );
  });

  test("that is not signed, or not by whom it says, is refused", () => {
    const { bytes } = signed(DOCUMENT, ES256);
    const other = signer("ES256").publicKey.export({ format: "jwk" });
    const wrong: readonly ((document: Editable) => void)[] = [
      (document) => Reflect.deleteProperty(document, "signatures"),
      (document) => (document.signatures = []),
      (document) => Object.assign(document, { signatures: "none" }),
      (document) => Object.assign(document, { signatures: [null] }),
      (document) => (document.signatures[0]!.header["jwk"] = other),
      (document) => delete document.signatures[0]!.header["jwk"],
      (document) => (document.signatures[0]!.header["alg"] = "none"),
      (document) => (document.signatures[0]!.header["alg"] = "HS256"),
      (document) => (document.signatures[0]!.header["alg"] = "RS256"),
      (document) => (document.signatures[0]!.signature = ""),
      (document) => (document.signatures[0]!.signature += "!"),
      (document) => (document.signatures[0]!.protected = "e30"),
      (document) => (document.signatures[0]!.protected = "!"),
      (document) => document.signatures.push({ ...document.signatures[0]!, signature: "AAAA" }),
      (document) => (document.signatures = Array.from({ length: 17 }, () => document.signatures[0]!)),
      (document) => (document["tag"] = "v2"),
      (document) => (document["added"] = "unsigned"),
    ];
    for (const edit of wrong) expect(refusalOf(edited(bytes, edit))).toStartWith("MANIFEST_UNVERIFIED: ");
  });

  test("whose signatures are of different documents is refused", () => {
    const [one, two] = [signed(DOCUMENT, ES256), signed({ ...DOCUMENT, tag: "v2" }, ES256)];
    const second = (JSON.parse(Buffer.from(two.bytes).toString()) as Editable).signatures;
    const both = edited(one.bytes, (document) => document.signatures.push(...second));
    expect(refusalOf(both)).toStartWith("MANIFEST_UNVERIFIED: ");
  });

  test("that says nonsense is refused with the place", () => {
    const wrong: readonly (readonly [Record<string, unknown>, string])[] = [
      [{ ...DOCUMENT, schemaVersion: 2 }, "schemaVersion"],
      [{ ...DOCUMENT, name: 1 }, "name"],
      [{ ...DOCUMENT, tag: undefined }, "tag"],
      [{ ...DOCUMENT, fsLayers: [] }, "fsLayers"],
      [{ ...DOCUMENT, fsLayers: "none" }, "fsLayers"],
      [{ ...DOCUMENT, fsLayers: [{}, {}, {}] }, "fsLayers[0].blobSum"],
      [{ ...DOCUMENT, fsLayers: [{ blobSum: LAYERS[0] }, { blobSum: "sha256:x" }, null] }, "fsLayers[1].blobSum"],
      [{ ...DOCUMENT, history: [] }, "history"],
    ];
    for (const [document, place] of wrong) {
      expect(refusalOf(signed(document, ES256).bytes)).toStartWith(`MANIFEST_INVALID: manifest invalid: ${place} `);
    }
  });

  test("is known by its type, or by its version where no type was said", () => {
    const { bytes } = signed(DOCUMENT, ES256);
    const prefix = "application/vnd.docker.distribution.manifest.v1+";
    for (const type of [`${prefix}json`, `${prefix}prettyjws`, "application/json", undefined]) {
      expect(isSchema1(bytes, type)).toBeTrue();
    }
    expect(isSchema1(bytes, "application/vnd.oci.image.manifest.v1+json")).toBeFalse();
    expect(isSchema1(Buffer.from('{"schemaVersion":2}'), undefined)).toBeFalse();
  });
});

/** Whether the change touched only unsigned parts: white space, and the name of the key. */
function sameMeaning(changed: Uint8Array, original: Uint8Array): boolean {
  try {
    return withoutKeyIds(changed) === withoutKeyIds(original);
  } catch {
    return false;
  }
}

/** Of keys only what makes them keys, with numbers in the one way to write them: of the last letter not all bits count. */
function withoutKeyIds(bytes: Uint8Array): string {
  const document = JSON.parse(Buffer.from(bytes).toString()) as {
    signatures: { header: { jwk: Readonly<Record<string, string>> } }[];
  };
  for (const { header } of document.signatures) {
    const { kty = "", crv = "", x, y } = header.jwk;
    header.jwk = { kty, crv, x: plain(x), y: plain(y) };
  }
  return JSON.stringify(document);
}

function plain(text = ""): string {
  return Buffer.from(text, "base64url").toString("base64url");
}
