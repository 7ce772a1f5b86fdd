/** Verifies the certificate chain in a token (`x5c`, RFC 7515, section 4.1.6) by RFC 5280. */
import { X509Certificate } from "node:crypto";
import type { JWK } from "jose";
import { identifier, readTlvs } from "../lib/der.ts";

/** A chain is no longer than that. */
const MAX_CHAIN = 8;

/** A key certified by a trusted certificate. */
export interface VouchedKey {
  readonly key: JWK;
  /** Milliseconds since 1970: when the first certificate of the chain ends. */
  readonly until: number;
}

/**
 * The key of the first certificate, when each is vouched for by the next one and the last by one of `roots`, now, and each
 * may do what it does. Undefined otherwise.
 */
export function keyVouchedFor(chain: unknown, roots: readonly X509Certificate[], now: number): VouchedKey | undefined {
  if (!Array.isArray(chain) || chain.length === 0 || chain.length > MAX_CHAIN) return undefined;
  try {
    return follow(chain.map(certificateOf), roots, now);
  } catch {
    return undefined; // something is no certificate, or has a key of a kind that is not understood
  }
}

function certificateOf(text: unknown): X509Certificate {
  return new X509Certificate(Buffer.from(String(text), "base64"));
}

function follow(
  certificates: readonly X509Certificate[],
  roots: readonly X509Certificate[],
  now: number,
): VouchedKey | undefined {
  const [leaf] = certificates;
  if (!leaf || !certificates.every((each) => isValidAt(each, now))) return undefined;
  let until = Infinity;
  for (const [index, certificate] of certificates.entries()) {
    until = Math.min(until, Date.parse(certificate.validTo));
    const below = certificates.slice(0, index + 1);
    const root = roots.find(
      (each) => isValidAt(each, now) && (isSame(certificate, each) || mayIssue(each, certificate, below)),
    );
    if (root) {
      // What the settings name is trusted as it is; any other key must be one for signatures.
      if (!isSame(leaf, root) && !maySign(leaf)) return undefined;
      return { key: leaf.publicKey.export({ format: "jwk" }), until: Math.min(until, Date.parse(root.validTo)) };
    }
    const next = certificates[index + 1];
    if (!next || !mayIssue(next, certificate, below)) return undefined;
  }
  return undefined;
}

function isValidAt({ validFrom, validTo }: X509Certificate, now: number): boolean {
  return Date.parse(validFrom) <= now && now <= Date.parse(validTo);
}

function isSame(a: X509Certificate, b: X509Certificate): boolean {
  return a.raw.equals(b.raw);
}

/** Returns whether `issuer` signed `certificate`, the end of the chain `below`, and may do so. */
function mayIssue(issuer: X509Certificate, certificate: X509Certificate, below: readonly X509Certificate[]): boolean {
  if (!issuer.ca || !certificate.checkIssued(issuer)) return false;
  const { pathLength, usage, isUnderstood } = restrictionsOf(issuer);
  // "the maximum number of non-self-issued intermediate certificates that may follow this certificate" (RFC 5280, 4.2.1.9)
  const intermediates = below.slice(1).filter(({ subject, issuer: by }) => subject !== by).length;
  return (
    isUnderstood &&
    restrictionsOf(certificate).isUnderstood &&
    (usage === undefined || (usage & KEY_CERT_SIGN) !== 0) &&
    intermediates <= pathLength &&
    certificate.verify(issuer.publicKey)
  );
}

function maySign(certificate: X509Certificate): boolean {
  const { usage } = restrictionsOf(certificate);
  return usage === undefined || (usage & (DIGITAL_SIGNATURE | NON_REPUDIATION)) !== 0;
}

/** Bits of the key usage extension (RFC 5280, 4.2.1.3). */
const [DIGITAL_SIGNATURE, NON_REPUDIATION, KEY_CERT_SIGN] = [0x80, 0x40, 0x04];

const KEY_USAGE = "2.5.29.15";
const BASIC_CONSTRAINTS = "2.5.29.19";

/** Supported critical extensions: those that are checked here, and those about names, policies and TLS. */
const UNDERSTOOD = [KEY_USAGE, BASIC_CONSTRAINTS, "2.5.29.17", "2.5.29.30", "2.5.29.32", "2.5.29.36", "2.5.29.37"].map(
  contentOfIdentifier,
);

interface Restrictions {
  /** How many certificates may stand between it and the first one. */
  readonly pathLength: number;
  /** Undefined when its key may be used for anything. */
  readonly usage: number | undefined;
  /** "MUST reject the certificate if it encounters a critical extension it does not recognize" (RFC 5280, 4.2). */
  readonly isUnderstood: boolean;
}

function restrictionsOf({ raw }: X509Certificate): Restrictions {
  let [pathLength, isUnderstood]: [number, boolean] = [Infinity, true];
  let usage: number | undefined;
  for (const { id, isCritical, value } of extensionsOf(raw)) {
    if (id.equals(contentOfIdentifier(KEY_USAGE))) usage = readTlvs(value)[0]?.content[1] ?? 0;
    else if (id.equals(contentOfIdentifier(BASIC_CONSTRAINTS))) {
      const [constraints] = readTlvs(value);
      const length = readTlvs(constraints?.content ?? Buffer.alloc(0)).find(({ tag }) => tag === INTEGER);
      if (length) pathLength = length.content.readUIntBE(0, Math.min(length.content.length, 6));
    }
    if (isCritical && !UNDERSTOOD.some((each) => each.equals(id))) isUnderstood = false;
  }
  return { pathLength, usage, isUnderstood };
}

const [BOOLEAN, INTEGER, OCTETS, IDENTIFIER, EXTENSIONS] = [0x01, 0x02, 0x04, 0x06, 0xa3];

interface Extension {
  readonly id: Buffer;
  readonly isCritical: boolean;
  /** In DER. */
  readonly value: Buffer;
}

/** RFC 5280, 4.1: a certificate is a sequence of what is signed and a signature, and extensions are the last that is signed. */
function extensionsOf(raw: Buffer): readonly Extension[] {
  const [certificate] = readTlvs(raw);
  const [signed] = readTlvs(certificate?.content ?? Buffer.alloc(0));
  const found = readTlvs(signed?.content ?? Buffer.alloc(0)).find(({ tag }) => tag === EXTENSIONS);
  const [list] = found ? readTlvs(found.content) : [];
  return readTlvs(list?.content ?? Buffer.alloc(0)).map(({ content }) => {
    const parts = readTlvs(content);
    const contentOf = (wanted: number): Buffer | undefined => parts.find(({ tag }) => tag === wanted)?.content;
    return {
      id: contentOf(IDENTIFIER) ?? Buffer.alloc(0),
      isCritical: (contentOf(BOOLEAN)?.[0] ?? 0) !== 0,
      value: contentOf(OCTETS) ?? Buffer.alloc(0),
    };
  });
}

function contentOfIdentifier(dotted: string): Buffer {
  return readTlvs(identifier(dotted))[0]?.content ?? Buffer.alloc(0);
}
