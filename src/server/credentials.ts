/** The `Authorization` header (RFC 9110, 11.6.2). */

export type Credentials =
  /** None that say who somebody is. */
  | { readonly kind: "none" }
  | { readonly kind: "basic"; readonly name: string; readonly password: string }
  | { readonly kind: "bearer"; readonly token: string }
  /** Of another scheme, or not readable. */
  | { readonly kind: "unknown" };

/** As nearly all clients write them. */
const USUAL: ReadonlyMap<string, string> = new Map([
  ["Bearer", "bearer"],
  ["Basic", "basic"],
]);

export function parseCredentials(header: string | null): Credentials {
  if (header === null) return { kind: "none" };
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

function parseBasic(value: string): Credentials {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(value)) return { kind: "unknown" };
  const text = Buffer.from(value, "base64").toString("utf8");
  const colon = text.indexOf(":");
  if (colon < 0) return { kind: "unknown" };
  const [name, password] = [text.slice(0, colon), text.slice(colon + 1)];
  // containers/image says so that it has nothing to say ("Basic Og==").
  return name === "" && password === "" ? { kind: "none" } : { kind: "basic", name, password };
}
