/** Certificates for tests, made on the spot: what X.509 asks for, written byte by byte, and no more. */
import { generateKeyPairSync, randomBytes, sign } from "node:crypto";
import type { KeyObject } from "node:crypto";

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
}

export interface AuthorityWishes {
  readonly parent?: Authority;
  readonly mayVouch?: boolean;
}

const DAY_MS = 86_400_000;

const TRUE = tlv(0x01, Buffer.from([0xff]));

/** Who vouches for certificates. */
export class Authority {
  readonly #name: Buffer;
  readonly #key: KeyObject;
  /** Its own certificate, in PEM. */
  readonly cert: string;

  /** Vouched for by `parent`, or by itself; with `mayVouch: false` it has no right to what it does. */
  constructor(name = "a test's authority", { parent, mayVouch = true }: AuthorityWishes = {}) {
    const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
    this.#name = nameOf(name);
    this.#key = pair.privateKey;
    const isAuthority = criticalExtension("2.5.29.19", sequence(TRUE));
    const signsCertificates = criticalExtension("2.5.29.15", tlv(0x03, Buffer.from([2, 0x04])));
    const extensions = mayVouch ? [isAuthority, signsCertificates] : [];
    const voucher = parent ?? this;
    this.cert = pem("CERTIFICATE", voucher.#sign(name, pair.publicKey, extensions, {}));
  }

  /** A certificate for a server or a client. */
  issue(name: string, wishes: CertificateWishes = {}): Issued {
    const pair = generateKeyPairSync("ec", { namedCurve: wishes.curve ?? "P-256" });
    const names = (wishes.names ?? []).map((each) =>
      /^[\d.]+$/.test(each) ? tlv(0x87, Buffer.from(each.split(".").map(Number))) : tlv(0x82, Buffer.from(each)),
    );
    const extensions = names.length > 0 ? [extension("2.5.29.17", sequence(...names))] : [];
    return {
      cert: pem("CERTIFICATE", this.#sign(name, pair.publicKey, extensions, wishes)),
      key: pair.privateKey.export({ type: "pkcs8", format: "pem" }),
    };
  }

  #sign(name: string, key: KeyObject, extensions: readonly Buffer[], { from, until }: CertificateWishes): Buffer {
    const algorithm = sequence(identifier("1.2.840.10045.4.3.2")); // ECDSA with SHA-256
    const validity = [from ?? new Date(Date.now() - DAY_MS), until ?? new Date(Date.now() + 90 * DAY_MS)];
    const content = sequence(
      tlv(0xa0, tlv(0x02, Buffer.from([2]))), // version 3
      tlv(0x02, Buffer.concat([Buffer.from([1]), randomBytes(15)])),
      algorithm,
      this.#name,
      sequence(...validity.map(time)),
      nameOf(name),
      key.export({ type: "spki", format: "der" }),
      ...(extensions.length > 0 ? [tlv(0xa3, sequence(...extensions))] : []),
    );
    return sequence(content, algorithm, bits(sign("sha256", content, this.#key)));
  }
}

function tlv(tag: number, ...contents: readonly Buffer[]): Buffer {
  const content = Buffer.concat(contents);
  const { length } = content;
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}

function sequence(...contents: readonly Buffer[]): Buffer {
  return tlv(0x30, ...contents);
}

function bits(content: Buffer): Buffer {
  return tlv(0x03, Buffer.from([0]), content);
}

function identifier(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const base128 = (value: number): number[] =>
    value < 128 ? [value] : [...base128(value >> 7).map((byte) => byte | 0x80), value & 0x7f];
  return tlv(0x06, Buffer.from([first * 40 + second, ...rest.flatMap(base128)]));
}

function nameOf(text: string): Buffer {
  return sequence(tlv(0x31, sequence(identifier("2.5.4.3"), tlv(0x0c, Buffer.from(text)))));
}

function extension(id: string, content: Buffer): Buffer {
  return sequence(identifier(id), tlv(0x04, content));
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
