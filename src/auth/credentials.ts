/** The `Authorization` header (RFC 9110, 11.6.2). */

import type { Credentials } from "./verifier.ts";

export type HeaderCredentials =
  | Credentials
  /** No credentials: an anonymous client. */
  | { readonly kind: "none" }
  /** Of another scheme, or not readable. */
  | { readonly kind: "unknown" };

/** As nearly all clients write them. */
const USUAL: ReadonlyMap<string, string> = new Map([
  ["Bearer", "bearer"],
  ["Basic", "basic"],
]);

export function parseCredentials(header: string): HeaderCredentials {
  const space = header.indexOf(" ");
  const value = header.slice(space + 1).trim();
  const scheme = header.slice(0, Math.max(0, space));
  switch (USUAL.get(scheme) ?? scheme.toLowerCase()) {
    case "bearer":
      return { kind: "bearer", token: value };
    case "basic":
      return parseBasic(value);
    default:
      return { kind: "unknown" };
  }
}

function parseBasic(value: string): HeaderCredentials {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(value)) return { kind: "unknown" };
  const text = Buffer.from(value, "base64").toString("utf8");
  const colon = text.indexOf(":");
  if (colon < 0) return { kind: "unknown" };
  const [name, password] = [text.slice(0, colon), text.slice(colon + 1)];
  // containers/image says so that it has nothing to say ("Basic Og==").
  return name === "" && password === "" ? { kind: "none" } : { kind: "basic", name, password };
}

/** The header by which a client shows a name and a password. */
export function basicHeader(name: string, password: string): string {
  return `Basic ${Buffer.from(`${name}:${password}`).toString("base64")}`;
}
