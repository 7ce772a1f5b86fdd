/** What certificates are written in (X.690): values with their kind and length before them. */

/** A value that was read. */
export interface Tlv {
  readonly tag: number;
  readonly content: Buffer;
}

/** The values that stand one behind the other in `bytes`. Throws when they are cut off, or are longer than any are here. */
export function readTlvs(bytes: Buffer): readonly Tlv[] {
  const values: Tlv[] = [];
  for (let at = 0; at < bytes.length;) {
    const tag = bytes.readUInt8(at);
    const first = bytes.readUInt8(at + 1);
    const lengthSize = first < 128 ? 0 : first - 128;
    if (lengthSize > 4) throw new RangeError("a value of DER is too long");
    const start = at + 2 + lengthSize;
    const length = lengthSize === 0 ? first : bytes.readUIntBE(at + 2, lengthSize);
    if (start + length > bytes.length) throw new RangeError("a value of DER is cut off");
    values.push({ tag, content: bytes.subarray(start, start + length) });
    at = start + length;
  }
  return values;
}

/** A value of any kind: `tag` says which. */
export function tlv(tag: number, ...contents: readonly Buffer[]): Buffer {
  const content = Buffer.concat(contents);
  const { length } = content;
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}

export function sequence(...contents: readonly Buffer[]): Buffer {
  return tlv(0x30, ...contents);
}

export function bits(content: Buffer): Buffer {
  return tlv(0x03, Buffer.from([0]), content);
}

/** An object identifier, such as `2.5.29.17`. */
export function identifier(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const base128 = (value: number): number[] =>
    value < 128 ? [value] : [...base128(value >> 7).map((byte) => byte | 0x80), value & 0x7f];
  return tlv(0x06, Buffer.from([first * 40 + second, ...rest.flatMap(base128)]));
}

/** The extension of a certificate that lists the names that it is for, each as a value of its own. */
export function subjectNames(...names: readonly Buffer[]): Buffer {
  return sequence(identifier("2.5.29.17"), tlv(0x04, sequence(...names)));
}

export function dnsName(name: string): Buffer {
  return tlv(0x82, Buffer.from(name));
}

/** ECDSA with SHA-256, as a signature names its algorithm. */
export const ECDSA_SHA256: Buffer = sequence(identifier("1.2.840.10045.4.3.2"));
