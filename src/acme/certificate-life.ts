/** How long a certificate is good, and when it is time for the next one. */
import { X509Certificate } from "node:crypto";

export interface CertificateLife {
  readonly from: number;
  readonly until: number;
}

/** Undefined unless `pem` begins with a certificate that is for all of `names`. */
export function lifeOf(pem: string, names: readonly string[]): CertificateLife | undefined {
  try {
    const certificate = new X509Certificate(pem);
    if (names.some((name) => certificate.checkHost(name) === undefined)) return undefined;
    return { from: Date.parse(certificate.validFrom), until: Date.parse(certificate.validTo) };
  } catch {
    return undefined;
  }
}

/** When a third of its life is left. */
export function renewalTime({ from, until }: CertificateLife): number {
  return until - (until - from) / 3;
}
