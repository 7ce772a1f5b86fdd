/** Chains of certificates: who may vouch for whom, with real certificates. */
import { describe, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { Authority } from "../../test/support/certificates.ts";
import type { Issued } from "../../test/support/certificates.ts";
import { keyVouchedFor } from "./certificate-chain.ts";

const NOW = Date.now();
const [DIGITAL_SIGNATURE, NON_REPUDIATION, KEY_ENCIPHERMENT, KEY_CERT_SIGN, CRL_SIGN] = [0x80, 0x40, 0x20, 0x04, 0x02];

/** Whether a leaf is trusted by way of those authorities, the last of which is in the bundle. */
function isTrusted(leaf: Issued, ...authorities: readonly Authority[]): boolean {
  const [root, ...others] = authorities.toReversed();
  const chain = [leaf.cert, ...others.toReversed().map(({ cert }) => cert)].map((pem) =>
    new X509Certificate(pem).raw.toString("base64"),
  );
  return keyVouchedFor(chain, [new X509Certificate(root?.cert ?? "")], NOW) !== undefined;
}

/** Authorities below each other, the lowest first, and a leaf of the lowest. */
function line(...wishes: readonly ConstructorParameters<typeof Authority>[1][]): [Issued, ...Authority[]] {
  let parent: Authority | undefined;
  const authorities: Authority[] = [];
  for (const [at, wish] of wishes.entries()) {
    parent = new Authority(`authority ${at}`, { ...wish, ...(parent ? { parent } : {}) });
    authorities.unshift(parent);
  }
  if (!parent) throw new Error("there is no authority");
  return [parent.issue("token server"), ...authorities];
}

describe("a certificate", () => {
  test("is trusted by way of authorities that may vouch for others", () => {
    expect(isTrusted(...line({}))).toBeTrue();
    expect(isTrusted(...line({}, {}, {}))).toBeTrue();
    expect(isTrusted(...line({}, { mayVouch: false }))).toBeFalse();
  });

  test("is not trusted below more authorities than one of them allows (pathLenConstraint)", () => {
    expect(isTrusted(...line({ pathLength: 0 }))).toBeTrue();
    expect(isTrusted(...line({ pathLength: 0 }, {}))).toBeFalse();
    expect(isTrusted(...line({ pathLength: 1 }, {}))).toBeTrue();
    expect(isTrusted(...line({ pathLength: 1 }, {}, {}))).toBeFalse();
    expect(isTrusted(...line({}, { pathLength: 0 }))).toBeTrue();
    expect(isTrusted(...line({}, { pathLength: 0 }, {}))).toBeFalse();
    expect(isTrusted(...line({}, { pathLength: 1 }, { pathLength: 7 }))).toBeTrue();
  });

  test("is not trusted by way of one whose key may not sign certificates (keyUsage)", () => {
    expect(isTrusted(...line({ usage: KEY_CERT_SIGN | CRL_SIGN }))).toBeTrue();
    expect(isTrusted(...line({ usage: CRL_SIGN }))).toBeFalse();
    expect(isTrusted(...line({}, { usage: DIGITAL_SIGNATURE }))).toBeFalse();
  });

  test("is not trusted when its key is for something else than signatures", () => {
    const root = new Authority("root");
    for (const [usage, isGood] of [
      [DIGITAL_SIGNATURE, true],
      [NON_REPUDIATION, true],
      [DIGITAL_SIGNATURE | KEY_ENCIPHERMENT, true],
      [KEY_ENCIPHERMENT, false],
      [KEY_CERT_SIGN, false],
    ] as const) {
      expect(isTrusted(root.issue("token server", { usage }), root)).toBe(isGood);
    }
  });

  test("is not trusted with an unknown critical extension, nor by way of one that has it", () => {
    const root = new Authority("root");
    expect(isTrusted(root.issue("token server", { riddle: true }), root)).toBeFalse();
    expect(isTrusted(...line({}, { riddle: true }))).toBeFalse();
  });

  test("that stands in the bundle itself is trusted as it is", () => {
    const root = new Authority("root");
    const [leaf] = [root.issue("token server", { usage: KEY_ENCIPHERMENT })];
    const certificate = new X509Certificate(leaf.cert);
    expect(keyVouchedFor([certificate.raw.toString("base64")], [certificate], NOW)).toBeDefined();
  });

  test("is good until the first of its chain ends", () => {
    const root = new Authority("root");
    const until = new Date(Math.floor(NOW / 1000) * 1000 + 60_000);
    const leaf = new X509Certificate(root.issue("token server", { until }).cert);
    const vouched = keyVouchedFor([leaf.raw.toString("base64")], [new X509Certificate(root.cert)], NOW);
    expect(vouched?.until).toBe(until.getTime());
  });

  test("that is cut off, or none, is not trusted", () => {
    const root = new Authority("root");
    const { raw } = new X509Certificate(root.issue("token server").cert);
    const roots = [new X509Certificate(root.cert)];
    for (let length = 0; length < raw.length; length += 7) {
      expect(keyVouchedFor([raw.subarray(0, length).toString("base64")], roots, NOW)).toBeUndefined();
    }
    for (const chain of [undefined, "text", [], [{}], [null], ["!"]]) {
      expect(keyVouchedFor(chain, roots, NOW)).toBeUndefined();
    }
  });
});
