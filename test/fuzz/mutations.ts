/** Ways to make a valid request bad, or odd. */
import type { Random } from "../support/random.ts";
import { formatRequest } from "../support/raw-request.ts";
import type { RawRequest } from "../support/raw-request.ts";

/** Words that have broken parsers. */
const WORDS: readonly string[] = [
  "",
  " ",
  ".",
  "..",
  "...",
  "/",
  "//",
  "\\",
  "%",
  "%00",
  "%2f",
  "%2F..%2F",
  "%zz",
  "%c0%af",
  "%ff",
  "\u00e9",
  "\x7f",
  "'",
  '"',
  "`",
  ";",
  "--",
  "' or 1=1 --",
  "$1",
  "${x}",
  "{{x}}",
  "<script>",
  "_",
  "-",
  "a-",
  "-a",
  "a__b",
  "a..b",
  "A",
  "null",
  "undefined",
  "NaN",
  "true",
  "__proto__",
  "constructor",
  "toString",
  "0",
  "-1",
  "+1",
  "1e9",
  "0x10",
  "00",
  "1.5",
  "9007199254740993",
  "18446744073709551616",
  "sha256:",
  "sha256:zz",
  `sha256:${"A".repeat(64)}`,
  `sha256:${"0".repeat(64)}`,
  `sha512:${"0".repeat(64)}`,
  "md5:d41d8cd98f00b204e9800998ecf8427e",
  "blobs",
  "manifests",
  "uploads",
  "tags",
  "list",
  "referrers",
  "_catalog",
  "latest",
  "bytes=0-",
  "bytes=-0",
  "bytes=5-1",
  "bytes=0-0,0-0",
  "bytes=99999999999999999999-",
  "items=0-1",
  "0-0",
  "0-",
  "5-1",
  "-5",
  "0-99999999999999999999",
  "chunked",
  "identity",
  "gzip",
  "100-continue",
  "*",
  "*/*",
  'W/"x"',
  '"x", "y"',
  "text/plain",
  "application/json",
  "a/b; c=d",
  "close",
  "keep-alive",
  "upgrade",
  "h2c",
  "websocket",
  "a".repeat(128),
  "a".repeat(129),
  "a".repeat(256),
  "a/".repeat(127),
  "x".repeat(5000),
];

/** Without DELETE: what is only read must stay. */
const METHODS: readonly string[] = [
  "GET",
  "PUT",
  "POST",
  "PATCH",
  "OPTIONS",
  "TRACE",
  "CONNECT",
  "PROPFIND",
  "get",
  "G\u00c9T",
  "",
  "GET GET",
  "X".repeat(50),
];

const HEADERS: readonly string[] = [
  "accept",
  "accept-encoding",
  "authorization",
  "connection",
  "content-encoding",
  "content-length",
  "content-range",
  "content-type",
  "cookie",
  "docker-upload-uuid",
  "expect",
  "host",
  "if-match",
  "if-modified-since",
  "if-none-match",
  "if-range",
  "origin",
  "range",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "user-agent",
  "x-forwarded-host",
  "x-forwarded-proto",
  "x-http-method-override",
];

type Mutation = (request: RawRequest, random: Random) => RawRequest;

const word = (random: Random): string => random.pick(WORDS) ?? "";

/** Breaks `text` somewhere: a word put in, a piece taken out, a byte changed. */
function breakText(text: string, random: Random): string {
  const at = random.between(0, text.length);
  switch (random.between(0, 3)) {
    case 0:
      return text.slice(0, at) + word(random) + text.slice(at);
    case 1:
      return text.slice(0, at) + text.slice(Math.min(text.length, at + random.between(1, 20)));
    case 2:
      return text.slice(0, at) + String.fromCharCode(random.between(0x21, 0xff)) + text.slice(at + 1);
    default:
      return text.slice(0, at);
  }
}

const MUTATIONS: readonly Mutation[] = [
  // The request line.
  (request, random) => (random.chance(0.5) ? { ...request, method: random.pick(METHODS) ?? "GET" } : request),
  (request, random) => ({ ...request, target: noBreaks(breakText(request.target, random)) }),
  (request, random) => {
    const parts = request.target.split("/");
    parts[random.between(0, parts.length - 1)] = noBreaks(word(random));
    return { ...request, target: parts.join("/") };
  },
  (request, random) => {
    const parts = request.target.split("/");
    parts.splice(random.between(0, parts.length), 0, noBreaks(word(random)));
    return { ...request, target: parts.join("/") };
  },
  (request, random) => ({
    ...request,
    target: `${request.target}${random.pick(["?", "&", "#", ";"])}${noBreaks(word(random))}`,
  }),
  (request, random) => {
    const name = random.pick([
      "digest",
      "n",
      "last",
      "tag",
      "mount",
      "from",
      "artifactType",
      "digest-algorithm",
      "_state",
      "ns",
    ]);
    return {
      ...request,
      target: `${request.target}${request.target.includes("?") ? "&" : "?"}${name}=${noBreaks(word(random))}`,
    };
  },
  // Headers.
  (request, random) => withHeader(request, random.pick(HEADERS) ?? "accept", word(random)),
  (request, random) => withHeader(request, random.pick(HEADERS) ?? "accept", [word(random), word(random)]),
  (request, random) => {
    const names = Object.keys(request.headers ?? {});
    const name = random.pick(names) ?? "accept";
    return withHeader(request, name, breakText(String(request.headers?.[name] ?? ""), random));
  },
  (request, random) => ({
    ...request,
    headers: Object.fromEntries(Object.entries(request.headers ?? {}).filter(() => random.chance(0.5))),
  }),
  (request, random) => withHeader(request, "content-length", String(bodySize(request) + random.between(-3, 3))),
  (request, random) =>
    withHeader(withHeader(request, "transfer-encoding", "chunked"), "content-length", String(random.between(0, 30))),
  (request, random) =>
    withHeader(
      request,
      "x-many",
      Array.from({ length: random.between(1, 2000) }, () => "y".repeat(random.between(0, 30))),
    ),
  // Bodies.
  (request, random) => ({ ...request, body: Buffer.from(breakText(textOf(request), random), "latin1") }),
  (request, random) => withBody(request, breakJson(textOf(request), random)),
  (request, random) => withBody(request, breakJson(breakJson(textOf(request), random), random)),
  (request, random) => withBody(request, "[".repeat(random.between(1, 200_000))),
  (request, random) => withBody(request, `{"a":`.repeat(random.between(1, 50_000))),
  (request, random) => {
    const size = random.between(0, 100_000);
    return {
      ...request,
      body: Buffer.from(Array.from({ length: Math.min(size, 2000) }, () => random.between(0, 255))),
    };
  },
  (request, random) => ({
    ...withoutBody(request),
    chunks: textOf(request).match(/[^]{1,700}/g) ?? [],
    ...(random.chance(0.5) ? {} : { method: "PUT" }),
  }),
];

/** So many stay valid: what is there changes, and uploads are begun for others to go on with. */
const VALID_SHARE = 0.3;

/** A valid request after one or two mutations, as bytes; now and then the bytes themselves are broken. */
export function mutated(
  request: RawRequest,
  random: Random,
  host: string,
): { readonly bytes: Buffer; readonly mutant: RawRequest } {
  let mutant = request;
  if (random.chance(VALID_SHARE)) return { bytes: formatRequest(request, host), mutant };
  for (let times = random.between(1, 2); times > 0; times--)
    mutant = random.pick(MUTATIONS)?.(mutant, random) ?? mutant;
  const bytes = formatRequest(mutant, host);
  return { bytes: random.chance(0.05) ? breakBytes(bytes, random) : bytes, mutant };
}

function breakBytes(bytes: Buffer, random: Random): Buffer {
  const at = random.between(0, bytes.length - 1);
  switch (random.between(0, 3)) {
    case 0:
      return bytes.subarray(0, at); // a request that ends early
    case 1: {
      const changed = Buffer.from(bytes);
      changed[at] = random.between(0, 255);
      return changed;
    }
    case 2:
      return Buffer.concat([
        bytes.subarray(0, at),
        Buffer.from(random.pick(["\r\n", "\n", "\r\n\r\n", "\0", ": "]) ?? ""),
        bytes.subarray(at),
      ]);
    default:
      return Buffer.concat([bytes, Buffer.from(`0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n`)]);
  }
}

/** Changes a JSON document in a place: another value, a key less, a key more; what is no JSON is broken as text. */
function breakJson(text: string, random: Random): string {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    return breakText(text, random);
  }
  const places: { readonly parent: Record<string, unknown>; readonly key: string }[] = [];
  const walk = (value: unknown): void => {
    if (typeof value !== "object" || value === null) return;
    for (const [key, child] of Object.entries(value)) {
      places.push({ parent: value as Record<string, unknown>, key });
      walk(child);
    }
  };
  walk(document);
  const place = random.pick(places);
  if (!place) return JSON.stringify(ODD[random.between(0, ODD.length - 1)]);
  const { parent, key } = place;
  switch (random.between(0, 3)) {
    case 0:
      delete parent[key];
      break;
    case 1:
      parent[key] = [parent[key], parent[key]];
      break;
    case 2:
      parent[word(random)] = word(random);
      break;
    default:
      parent[key] = ODD[random.between(0, ODD.length - 1)];
  }
  const broken = JSON.stringify(document);
  return random.chance(0.1)
    ? broken.replace("{", `{"schemaVersion":2,"mediaType":"${word(random).replaceAll(/["\\]/g, "")}",`)
    : broken;
}

const ODD: readonly unknown[] = [
  null,
  true,
  0,
  -1,
  1.5,
  1e300,
  2 ** 53,
  "",
  "x",
  [],
  {},
  [[]],
  [null],
  { a: 1 },
  "sha256:zz",
  "\ud800",
  "\0",
];

function withHeader(request: RawRequest, name: string, value: string | readonly string[]): RawRequest {
  return { ...request, headers: { ...request.headers, [name]: value } };
}

function withBody(request: RawRequest, body: string): RawRequest {
  return { ...withoutBody(request), body };
}

function withoutBody(request: RawRequest): RawRequest {
  const { body: _, chunks: __, ...rest } = request;
  return rest;
}

function textOf({ body, chunks = [] }: RawRequest): string {
  return body === undefined ? chunks.join("") : Buffer.from(body).toString("latin1");
}

function bodySize(request: RawRequest): number {
  return Buffer.byteLength(textOf(request), "latin1");
}

/** A target with a space or a line break in it would be another request line: that is left to broken bytes. */
function noBreaks(text: string): string {
  return text.replaceAll(/[\s]/g, "+");
}
