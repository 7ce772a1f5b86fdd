/** Settings of how clients reach the registry: TLS, versions of HTTP, and proxies in front. */
import { parseUrl } from "../lib/parse-url.ts";
import { z } from "./zod.ts";
import { parseNetwork } from "../lib/network.ts";
import { address } from "./address.ts";
import { lowerCase } from "./values.ts";

/** Names as distribution (and Go) write them, and as OpenSSL does. Those of TLS 1.3 are always there. */
const CIPHERS: Readonly<Record<string, string>> = {
  TLS_RSA_WITH_3DES_EDE_CBC_SHA: "DES-CBC3-SHA",
  TLS_RSA_WITH_AES_128_CBC_SHA: "AES128-SHA",
  TLS_RSA_WITH_AES_256_CBC_SHA: "AES256-SHA",
  TLS_RSA_WITH_AES_128_GCM_SHA256: "AES128-GCM-SHA256",
  TLS_RSA_WITH_AES_256_GCM_SHA384: "AES256-GCM-SHA384",
  TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA: "ECDHE-ECDSA-AES128-SHA",
  TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA: "ECDHE-ECDSA-AES256-SHA",
  TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256: "ECDHE-ECDSA-AES128-SHA256",
  TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA: "ECDHE-RSA-AES128-SHA",
  TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA: "ECDHE-RSA-AES256-SHA",
  TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256: "ECDHE-RSA-AES128-SHA256",
  TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: "ECDHE-RSA-AES128-GCM-SHA256",
  TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: "ECDHE-ECDSA-AES128-GCM-SHA256",
  TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384: "ECDHE-RSA-AES256-GCM-SHA384",
  TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384: "ECDHE-ECDSA-AES256-GCM-SHA384",
  TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256: "ECDHE-RSA-CHACHA20-POLY1305",
  TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: "ECDHE-ECDSA-CHACHA20-POLY1305",
  TLS_AES_128_GCM_SHA256: "",
  TLS_AES_256_GCM_SHA384: "",
  TLS_CHACHA20_POLY1305_SHA256: "",
};

const FILE = "expected the path of a file";
const path = z.string({ error: FILE }).min(1, FILE);

const cipher = z
  .enum(Object.keys(CIPHERS) as [string, ...string[]], {
    error: "expected names of ciphers such as TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, as distribution writes them",
  })
  .transform((name) => CIPHERS[name] ?? "");

const CANNOT_ASK = "expected require-and-verify-client-cert, or request-client-cert (this program has no other way)";

/** A name that an authority can ask for over HTTP: no wildcard, no address. */
const hostName = z
  .string()
  .transform((name) => name.toLowerCase())
  .refine((name) => name.length < 254 && NAME.test(name), 'expected names such as "registry.example.com"');

const NAME = /^(?!.*\.\d+$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/;

const CACHE = "expected a folder where the certificate is kept";
const EMAIL = "expected the address where the authority writes to you";
const HOSTS = 'expected the names of this registry, such as ["registry.example.com"]';

const letsencrypt = z.strictObject({
  /** In distribution 3 it is a folder too, whatever its name says. */
  cachefile: z.string({ error: CACHE }).min(1, CACHE),
  email: z.string({ error: EMAIL }).regex(/^[^\s@,]+@[^\s@,]+$/, EMAIL),
  hosts: z.array(hostName, { error: HOSTS }).min(1, HOSTS).max(100, "expected at most 100 names"),
  directoryurl: z
    .string()
    .refine((text) => parseUrl(text)?.protocol === "https:", "expected the https:// address of a directory")
    .default("https://acme-v02.api.letsencrypt.org/directory"),
  /** The address for challenges of the CA, which connects to port 80 of each host. */
  challengeaddr: address.default(":80"),
});

export const tlsSettings = z
  .strictObject({
    certificate: path.optional(),
    key: path.optional(),
    letsencrypt: letsencrypt.optional(),
    clientcas: z.array(path).default([]),
    clientauth: z
      .enum(["require-and-verify-client-cert", "request-client-cert"], { error: CANNOT_ASK })
      .default("require-and-verify-client-cert"),
    minimumtls: z.preprocess(lowerCase, z.enum(["tls1.0", "tls1.1", "tls1.2", "tls1.3"])).prefault("tls1.2"),
    /** Names of OpenSSL; none where TLS 1.3 chooses by itself. */
    ciphersuites: z
      .array(cipher)
      .default([])
      .transform((names) => names.filter((name) => name !== "")),
  })
  .prefault({});

const EXPECTED_HOST =
  "expected http:// or https:// and a name, without a path (http.prefix has it), such as https://registry.example.com";

/** `https://registry.example.com`: an origin. A path is left for `hasPathOfPrefix` to judge. */
export const externalAddress = z.string().refine(
  (text) => {
    const url = parseUrl(text);
    const rest = url && text.toLowerCase().startsWith(url.origin) ? text.slice(url.origin.length) : undefined;
    return /^https?:$/.test(url?.protocol ?? "") && rest !== undefined && /^(?:\/[\w.~/-]*)?$/.test(rest);
  },
  { error: EXPECTED_HOST },
);

/**
 * distribution takes its external address with the path below which it is; here that says nothing but what the prefix says,
 * and another path would be a mistake. What is no address at all is for `externalAddress` to refuse.
 */
export const hasPathOfPrefix = {
  of: ({ host, prefix }: { readonly host?: string | undefined; readonly prefix: string }): boolean =>
    ["", prefix].includes(parseUrl(host ?? "")?.pathname.replace(/\/$/, "") ?? ""),
  error: EXPECTED_HOST,
};

const EXPECTED_HEADERS =
  "expected names of headers with their values, such as {Access-Control-Allow-Origin: ['https://ui.example.com']}";

/** Longer ones are refused by proxies and clients. */
const MAX_HEADER = 2048;

/** A value, or several; distribution always has a list. */
const headerValues = z
  .union([z.string(), z.number(), z.boolean(), z.array(z.union([z.string(), z.number(), z.boolean()]))], {
    error: EXPECTED_HEADERS,
  })
  .transform((values) => [values].flat().map(String))
  .refine((values) => values.every((value) => /^[\t\x20-\x7e]*$/.test(value)), "expected values of printable ASCII")
  .refine((values) => values.join(", ").length <= MAX_HEADER, `expected at most ${MAX_HEADER} characters`);

/** These frame a reply, or say what it is: no two replies have the same. */
const OWN_HEADERS: ReadonlySet<string> = new Set([
  "connection",
  "content-encoding",
  "content-length",
  "content-range",
  "content-type",
  "date",
  "keep-alive",
  "location",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "www-authenticate",
]);

/** Headers of every reply, by their names in lower case; of two spellings of one name the later one counts. */
export const responseHeaders = z
  .preprocess(
    (value) => value ?? {},
    z.record(z.string().regex(/^[\w!#$%&'*+.^`|~-]+$/, EXPECTED_HEADERS), headerValues, { error: EXPECTED_HEADERS }),
  )
  .refine((headers) => Object.keys(headers).every((name) => !OWN_HEADERS.has(name.toLowerCase())), {
    error: `expected no header that each reply has a value of its own for: ${[...OWN_HEADERS].join(", ")}`,
  })
  .transform((headers) =>
    Object.fromEntries(Object.entries(headers).map(([name, values]) => [name.toLowerCase(), values])),
  )
  .prefault({});

const EXPECTED_PREFIX = 'expected a path without "." and "..", such as /registry/';

/** `/registry/`, as distribution writes it, becomes `/registry`; a slash alone, or nothing, is the top of the host. */
export const pathPrefix = z
  .string(EXPECTED_PREFIX)
  .regex(/^\/?(?:[\w.~-]+(?:\/[\w.~-]+)*\/?)?$/, EXPECTED_PREFIX)
  .refine((text) => !text.split("/").some((part) => part === "." || part === ".."), EXPECTED_PREFIX)
  .transform((text) => text.replace(/^\/?(.*?)\/?$/, "/$1").replace(/^\/$/, ""));

export const trustedProxies = z
  .array(
    z.string().refine((text) => text === "unix" || parseNetwork(text) !== undefined, {
      error: 'expected addresses and networks such as "10.0.0.0/8", or "unix" for those who connect to a Unix socket',
    }),
  )
  .default([]);
