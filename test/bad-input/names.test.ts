/** Repository names that are none: distribution-spec, "Pulling manifests", and 255 bytes in all. */
import { describe, expect, test } from "bun:test";
import { pushImage } from "../support/client.ts";
import { sendRaw } from "../support/raw.ts";
import type { RawReply } from "../support/raw.ts";
import { request } from "../support/raw-request.ts";
import type { RawRequest } from "../support/raw-request.ts";
import { expectRefusal, expectRefused, testRefusals } from "./refusal.ts";
import type { BadRequest, Refusal } from "./refusal.ts";
import { ABSENT, IMAGE, IMAGE_TEXT, REPOSITORY, testAliveAndQuiet, testUnchanged, useWitness } from "./witness.ts";

const witness = useWitness();

/** As they stand in the request line, one byte for each character. */
const BAD_NAMES: readonly (readonly [title: string, name: string])[] = [
  ["upper case", "Library"],
  ["upper case in the second part", "library/Witness"],
  ["a dash before", "-app"],
  ["a dash behind", "app-"],
  ["a dot before", ".app"],
  ["a dot behind", "app."],
  ["an underscore before", "_app"],
  ["an underscore behind", "app_"],
  ["two dots inside", "a..b"],
  ["three underscores inside", "a___b"],
  ["a dot and an underscore", "a._b"],
  ["a dash and an underscore", "a-_b"],
  ["a dot and a dash", "a.-b"],
  ["a separator before the second part", "team/-app"],
  ["a dot before the second part", "team/.app"],
  ["a separator behind the first part", "team-/app"],
  ["a part of dots", "team/.../app"],
  ["two dots behind a part", "team../app"],
  ["two encoded dots behind a part", "team%2e%2e/app"],
  ["a slash before", "/app"],
  ["a slash behind", "app/"],
  ["an empty part", "team//app"],
  ["two empty parts", "team///app"],
  ["nothing but slashes", "//"],
  ["an encoded slash", "library%2fwitness"],
  ["an encoded slash, upper case", "library%2Fwitness"],
  ["an encoded slash behind", "app%2f"],
  ["an encoded way up", "library/..%2fwitness"],
  ["an encoded way to the root", "..%2f..%2f..%2fetc%2fpasswd"],
  ["an encoded way to the root, encoded twice", "%252e%252e%252fetc"],
  ["an encoded NUL", "app%00"],
  ["an encoded NUL before a good name", "%00app"],
  ["an encoded NUL inside", "team/a%00b"],
  ["an encoded line break", "app%0a"],
  ["an encoded carriage return and line break", "app%0d%0aX-Header:%20yes"],
  ["an encoded tab", "a%09b"],
  ["an encoded delete character", "a%7fb"],
  ["an encoded space", "a%20b"],
  ["an encoded space behind", "app%20"],
  ["an encoded percent sign", "a%25b"],
  ["an encoded question mark", "a%3Fb"],
  ["an encoded hash", "a%23b"],
  ["an escape that is none", "a%zzb"],
  ["an escape that is cut off", "a%2"],
  ["a percent sign alone", "a%"],
  ["a colon", "app:v1"],
  ["a host and a port", "localhost:5000/app"],
  ["an at sign", `app@${IMAGE.digest}`],
  ["a plus", "a+b"],
  ["a comma", "a,b"],
  ["a semicolon", "a;b"],
  ["an equals sign", "a=b"],
  ["an ampersand", "a&b"],
  ["an asterisk", "*"],
  ["a tilde", "~app"],
  ["an exclamation mark", "app!"],
  ["a dollar", "$app"],
  ["an apostrophe", "app'"],
  ["parentheses", "app()"],
  ["angle brackets", "<app>"],
  ["braces", "{app}"],
  ["a vertical bar", "a|b"],
  ["a quotation mark", 'a"b'],
  ["letters of Latin 1, encoded", "caf%C3%A9"],
  ["letters of Latin 1, as UTF-8 bytes", Buffer.from("café").toString("latin1")],
  ["letters of Latin 1, as one byte", "caf\u00e9"],
  ["a letter and a combining accent", "cafe%CC%81"],
  ["a byte that is not UTF-8", "app%ff"],
  ["an overlong dot", "%c0%ae%c0%ae"],
  ["half a surrogate pair", "app%ed%a0%80"],
  ["a Cyrillic letter that looks like an a", "%D0%B0pp"],
  ["a full-width letter", "%EF%BD%81pp"],
  ["a full-width digit", "app%EF%BC%91"],
  ["an Arabic digit", "app%D9%A1"],
  ["a superscript digit", "app%C2%B2"],
  ["a long s, whose upper case is an S", "%C5%BFtowage"],
  ["a Kelvin sign, whose lower case is a k", "%E2%84%AA8s"],
  ["a dotted capital I", "%C4%B0mage"],
  ["a sharp s", "stra%C3%9Fe"],
  ["a ligature", "%EF%AC%81le"],
  ["a zero-width space", "a%E2%80%8Bb"],
  ["a soft hyphen", "a%C2%ADb"],
  ["a hyphen that is not ASCII's", "a%E2%80%90b"],
  ["a mark that turns the direction of writing", "a%E2%80%AEb"],
  ["a byte order mark", "%EF%BB%BFapp"],
  ["a line separator", "a%E2%80%A8b"],
  ["a fraction slash", "team%E2%81%84app"],
  ["a full-width slash", "team%EF%BC%8Fapp"],
  ["a one dot leader", "a%E2%80%A4b"],
  ["an emoji", "%F0%9F%9A%A2"],
  ["256 bytes in one part", "a".repeat(256)],
  ["256 bytes in 128 parts", `${"a/".repeat(127)}aa`],
  ["ten thousand bytes", "a".repeat(10_000)],
  ["ten thousand parts", `${"a/".repeat(9_999)}a`],
  ["a long name that could keep an unwary expression busy", `${"a-".repeat(5_000)}!`],
];

/** Every endpoint that has a name in its path. */
const ENDPOINTS: readonly (readonly [title: string, request: (name: string) => RawRequest])[] = [
  ["GET a manifest", (name) => ({ target: `/v2/${name}/manifests/v1` })],
  ["HEAD a manifest", (name) => ({ method: "HEAD", target: `/v2/${name}/manifests/${IMAGE.digest}` })],
  ["PUT a manifest", (name) => putImage(name)],
  ["DELETE a tag", (name) => ({ method: "DELETE", target: `/v2/${name}/manifests/v1` })],
  ["DELETE a manifest", (name) => ({ method: "DELETE", target: `/v2/${name}/manifests/${IMAGE.digest}` })],
  ["GET a blob", (name) => ({ target: `/v2/${name}/blobs/${IMAGE.digest}` })],
  ["HEAD a blob", (name) => ({ method: "HEAD", target: `/v2/${name}/blobs/${IMAGE.digest}` })],
  ["DELETE a blob", (name) => ({ method: "DELETE", target: `/v2/${name}/blobs/${IMAGE.digest}` })],
  ["POST an upload", (name) => ({ method: "POST", target: `/v2/${name}/blobs/uploads/` })],
  ["GET tags", (name) => ({ target: `/v2/${name}/tags/list` })],
  ["GET referrers", (name) => ({ target: `/v2/${name}/referrers/${IMAGE.digest}` })],
];

function putImage(name: string): RawRequest {
  return {
    method: "PUT",
    target: `/v2/${name}/manifests/v1`,
    headers: { "Content-Type": IMAGE.mediaType },
    body: IMAGE_TEXT,
  };
}

describe("a name that is none is refused on every endpoint with 400 NAME_INVALID", () => {
  for (const [title, name] of BAD_NAMES) {
    test(title, async () => {
      for (const [, toRequest] of ENDPOINTS) {
        await expectRefused(witness().registry, toRequest(name), "400 NAME_INVALID");
      }
    });
  }
  testUnchanged(witness);
});

describe("a path where slashes hide the route", () => {
  const rows: readonly (readonly [title: string, target: string])[] = [
    ["an encoded slash before manifests", `/v2/${REPOSITORY}%2fmanifests/v1`],
    ["an encoded slash behind manifests", `/v2/${REPOSITORY}/manifests%2fv1`],
    ["an encoded slash inside tags/list", `/v2/${REPOSITORY}/tags%2flist`],
    ["two slashes behind manifests", `/v2/${REPOSITORY}/manifests//v1`],
    ["two slashes inside tags/list", `/v2/${REPOSITORY}/tags//list`],
    ["two slashes behind blobs", `/v2/${REPOSITORY}/blobs//${IMAGE.digest}`],
    ["two slashes before the catalog", "/v2//_catalog"],
    ["a NUL behind manifests", `/v2/${REPOSITORY}/manifests%00/v1`],
    ["a NUL behind tags/list", `/v2/${REPOSITORY}/tags/list%00`],
  ];
  testRefusals(
    () => witness().registry,
    rows.map(([title, target]): BadRequest => ({ title, request: { target }, expected: "404 NAME_UNKNOWN" })),
  );
  testUnchanged(witness);
});

describe("a path without a name", () => {
  const unnamed: readonly Refusal[] = ["404 UNSUPPORTED", "404 NAME_UNKNOWN", "400 NAME_INVALID"];
  testRefusals(
    () => witness().registry,
    ["/v2/tags/list", "/v2/manifests/v1", `/v2/blobs/${IMAGE.digest}`, `/v2/referrers/${IMAGE.digest}`].map(
      (target): BadRequest => ({ title: target.slice(0, 40), request: { target }, expected: unnamed }),
    ),
  );
  testUnchanged(witness);
});

describe("a path that holds a backslash or a dot segment, where the runtime shows it: 404 UNSUPPORTED", () => {
  const encoded = [
    "/v2/team%5Capp/tags/list",
    "/v2/team%5capp/tags/list",
    `/v2/${REPOSITORY}/manifests/v1%5C`,
    `/v2/${REPOSITORY}%5Cmanifests/v1`,
    `/v2/${REPOSITORY}/blobs/uploads/%5C`,
  ];
  for (const target of encoded) {
    test(`${target}, encoded`, async () => {
      for (const method of ["GET", "PUT", "DELETE"]) {
        await expectRefused(witness().registry, { method, target }, "404 UNSUPPORTED");
      }
    });
  }

  // The runtime resolves the target of a request that has a Host before the server sees it.
  const raw = [
    `/v2/./${REPOSITORY}/manifests/v1`,
    `/v2/elsewhere/../${REPOSITORY}/manifests/v1`,
    `/v2/elsewhere/%2e%2E/${REPOSITORY}/manifests/v1`,
    `/v2/${REPOSITORY.replace("/", "\\")}/manifests/v1`,
    `/v2/${REPOSITORY}/manifests/..`,
  ];
  for (const target of raw) {
    test(`${target}, without a Host`, async () => {
      const { port } = witness().registry;
      const reply = await sendRaw(port, `GET ${target} HTTP/1.0\r\n\r\n`, { timeoutMs: 20_000 });
      expectRefusal(witness().registry, { target }, reply, "404 UNSUPPORTED");
    });
  }
  testUnchanged(witness);
});

describe("dots that the path is resolved by", () => {
  // Such paths are resolved before routing, so what is asked for is the resolved path, and nothing else.
  const rows: readonly (readonly [title: string, target: string])[] = [
    ["one dot", `/v2/./${REPOSITORY}/manifests/v1`],
    ["two dots inside", `/v2/elsewhere/../${REPOSITORY}/manifests/v1`],
    ["two encoded dots inside", `/v2/elsewhere/%2e%2E/${REPOSITORY}/manifests/v1`],
    ["more dots than parts", `/../../../v2/${REPOSITORY}/manifests/v1`],
    ["backslashes", `/v2\\${REPOSITORY.replace("/", "\\")}\\manifests\\v1`],
  ];
  for (const [title, target] of rows) {
    test(`${title}: the image, byte by byte, or a refusal`, async () => {
      const { registry } = witness();
      const reply = await fetchRaw(target);
      if (reply.status === 200) expect(reply.body).toBe(IMAGE_TEXT);
      else await expectRefused(registry, { target }, ["400 NAME_INVALID", "404 NAME_UNKNOWN", "404 UNSUPPORTED"]);
    });
  }

  test("a way out of /v2/ does not lead to a repository", async () => {
    const reply = await fetchRaw(`/v2/../${REPOSITORY}/manifests/v1`);
    expect(reply.status).toBe(404);
  });

  test("a way to a file of the machine leads to none", async () => {
    for (const target of ["/v2/../../../../etc/passwd", "/../etc/passwd", "/v2/%2e%2e/%2e%2e/etc/passwd"]) {
      const reply = await fetchRaw(target);
      expect(reply.status).toBe(404);
      expect(reply.body).not.toContain("root:");
    }
  });
  testUnchanged(witness);
});

describe("names at the edge of the grammar are names", () => {
  const names = [
    "0",
    "a.b",
    "a_b",
    "a__b",
    "a---b",
    "1/2/3",
    "v2",
    "tags/list",
    "blobs/uploads",
    "manifests/manifests",
    "app/blobs/uploads",
    "app/referrers",
    "a".repeat(255),
    `${"a/".repeat(127)}a`,
  ];
  for (const name of names) {
    const title = name.length > 40 ? `${name.slice(0, 8)}… of ${name.length} bytes` : name;
    test(`${title}, to which nothing was pushed: 404 NAME_UNKNOWN of its tags, MANIFEST_UNKNOWN of a tag`, async () => {
      const { registry } = witness();
      await expectRefused(registry, { target: `/v2/${name}/tags/list` }, "404 NAME_UNKNOWN");
      await expectRefused(registry, { target: `/v2/${name}/manifests/v1` }, "404 MANIFEST_UNKNOWN");
    });
  }
  testUnchanged(witness, ABSENT);

  test("a name of 255 bytes can be pushed to and pulled from", async () => {
    const { url } = witness().registry;
    for (const name of ["b".repeat(255), `${"b/".repeat(127)}b`]) {
      const image = await pushImage(url, name, "v1");
      const pulled = await fetch(`${url}/v2/${name}/manifests/v1`);
      expect(await pulled.text()).toBe(image.body);
    }
    await witness().remember();
  });
});

testAliveAndQuiet(witness);

function fetchRaw(target: string): Promise<RawReply> {
  return request(witness().registry.port, { target });
}
