/** Certificates for tests, made on the spot: what X.509 asks for, written byte by byte, and no more. */
import { generateKeyPairSync, randomBytes, sign } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { ECDSA_SHA256, bits, dnsName, identifier, sequence, subjectNames, tlv } from "../../src/lib/der.ts";

/** A certificate and its key, in PEM. */
export interface Issued {
  readonly cert: string;
  readonly key: string;
}

export interface CertificateWishes {
  /** Names and addresses that a server is reached by. */
  readonly names?: readonly string[];
  readonly from?: Date;
  readonly until?: Date;
  /** Of its key: P-256 when absent. */
  readonly curve?: string;
  /** Bits of its key usage, the first of which is the highest; for anything when absent. */
  readonly usage?: number;
  /** An unknown critical extension. */
  readonly riddle?: boolean;
}

export interface AuthorityWishes {
  readonly parent?: Authority;
  readonly mayVouch?: boolean;
  /** How many authorities may stand below it; any number when absent. */
  readonly pathLength?: number;
  /** Bits of its key usage, the first of which is the highest: that of an authority when absent. */
  readonly usage?: number;
  /** An unknown critical extension. */
  readonly riddle?: boolean;
}

const DAY_MS = 86_400_000;

const TRUE = tlv(0x01, Buffer.from([0xff]));

const RIDDLE = sequence(identifier("1.3.6.1.4.1.99999.1"), TRUE, tlv(0x04, Buffer.from([0x05, 0x00])));

/** Who vouches for certificates. */
export class Authority {
  readonly #name: Buffer;
  readonly #key: KeyObject;
  /** Its own certificate, in PEM. */
  readonly cert: string;

  /** Vouched for by `parent`, or by itself; with `mayVouch: false` it has no right to what it does. */
  constructor(
    name = "a test's authority",
    { parent, mayVouch = true, pathLength, usage = 0x04, riddle = false }: AuthorityWishes = {},
  ) {
    const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
    this.#name = nameOf(name);
    this.#key = pair.privateKey;
    const constraints = pathLength === undefined ? [TRUE] : [TRUE, tlv(0x02, Buffer.from([pathLength]))];
    const isAuthority = criticalExtension("2.5.29.19", sequence(...constraints));
    const extensions = mayVouch ? [isAuthority, keyUsage(usage), ...(riddle ? [RIDDLE] : [])] : [];
    const voucher = parent ?? this;
    this.cert = pem("CERTIFICATE", voucher.#sign(name, pair.publicKey, extensions, {}));
  }

  /** A certificate for a server or a client. */
  issue(name: string, wishes: CertificateWishes = {}): Issued {
    const pair = generateKeyPairSync("ec", { namedCurve: wishes.curve ?? "P-256" });
    const names = (wishes.names ?? []).map((each) =>
      /^[\d.]+$/.test(each) ? tlv(0x87, Buffer.from(each.split(".").map(Number))) : dnsName(each),
    );
    const extensions = [
      ...(names.length > 0 ? [subjectNames(...names)] : []),
      ...(wishes.usage === undefined ? [] : [keyUsage(wishes.usage)]),
      ...(wishes.riddle ? [RIDDLE] : []),
    ];
    return {
      cert: pem("CERTIFICATE", this.#sign(name, pair.publicKey, extensions, wishes)),
      key: pair.privateKey.export({ type: "pkcs8", format: "pem" }),
    };
  }

  #sign(name: string, key: KeyObject, extensions: readonly Buffer[], { from, until }: CertificateWishes): Buffer {
    const validity = [from ?? new Date(Date.now() - DAY_MS), until ?? new Date(Date.now() + 90 * DAY_MS)];
    const content = sequence(
      tlv(0xa0, tlv(0x02, Buffer.from([2]))), // version 3
      tlv(0x02, Buffer.concat([Buffer.from([1]), randomBytes(15)])),
      ECDSA_SHA256,
      this.#name,
      sequence(...validity.map(time)),
      nameOf(name),
      key.export({ type: "spki", format: "der" }),
      ...(extensions.length > 0 ? [tlv(0xa3, sequence(...extensions))] : []),
    );
    return sequence(content, ECDSA_SHA256, bits(sign("sha256", content, this.#key)));
  }
}

function nameOf(text: string): Buffer {
  return sequence(tlv(0x31, sequence(identifier("2.5.4.3"), tlv(0x0c, Buffer.from(text)))));
}

/** RFC 5280, 4.2.1.3. */
function keyUsage(usage: number): Buffer {
  return criticalExtension("2.5.29.15", tlv(0x03, Buffer.from([0, usage])));
}

function criticalExtension(id: string, content: Buffer): Buffer {
  return sequence(identifier(id), TRUE, tlv(0x04, content));
}

/** With two digits for the year, as it is written until 2049. */
function time(date: Date): Buffer {
  return tlv(0x17, Buffer.from(`${date.toISOString().replaceAll(/[-:T]/g, "").slice(2, 14)}Z`));
}

function pem(label: string, content: Buffer): string {
  const lines = content.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}
