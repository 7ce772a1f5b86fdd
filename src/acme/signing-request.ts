/** What an authority is asked to sign (PKCS #10). */
import { createPublicKey, sign } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { ECDSA_SHA256, bits, dnsName, identifier, sequence, subjectNames, tlv } from "../lib/der.ts";

const VERSION = tlv(0x02, Buffer.from([0]));
/** Names stand in the extension alone: the subject is empty. */
const SUBJECT = sequence();
const EXTENSION_REQUEST = identifier("1.2.840.113549.1.9.14");

/** For a certificate of these names, signed with its key, which is one of an elliptic curve. */
export function signingRequest(names: readonly string[], key: KeyObject): Buffer {
  const extensions = sequence(subjectNames(...names.map(dnsName)));
  const content = sequence(
    VERSION,
    SUBJECT,
    createPublicKey(key).export({ type: "spki", format: "der" }),
    tlv(0xa0, sequence(EXTENSION_REQUEST, tlv(0x31, extensions))),
  );
  return sequence(content, ECDSA_SHA256, bits(sign("sha256", content, key)));
}
