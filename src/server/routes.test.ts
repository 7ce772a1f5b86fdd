/** Which endpoint a path names: read from its end, because names hold slashes and may be called anything. */
import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { digest as digestIn } from "../oci/digest.ts";
import { repositoryName } from "../oci/repository-name.ts";
import { tag as tagIn } from "../oci/tag.ts";
import { API_RESOURCES } from "./api-resources.ts";
import { METHODS, parseRoute, pathBelow, spellRoute } from "./routes.ts";
import type { SpelledRoute } from "./routes.ts";

const DIGEST = `sha256:${"0123456789abcdef".repeat(4)}`;
const ID = "0b9c1b2e-0000-4000-8000-000000000000";

describe("a path", () => {
  const cases: readonly (readonly [path: string, route: SpelledRoute])[] = [
    ["/", { kind: "welcome" }],
    ["/healthz", { kind: "health" }],
    ["/readyz", { kind: "ready" }],
    ["/r", { kind: "page" }],
    ["/r/team/app/-/t/1.0", { kind: "page" }],
    ["/login", { kind: "page" }],
    ["/ui/page-0123456789.js", { kind: "page-file", file: "page-0123456789.js" }],
    ["/v2", { kind: "base" }],
    ["/v2/", { kind: "base" }],
    ["/v2/_catalog", { kind: "catalog" }],
    [`/v2/app/blobs/${DIGEST}`, { kind: "blob", name: "app", digest: DIGEST }],
    [`/v2/a/b/c/blobs/${DIGEST}`, { kind: "blob", name: "a/b/c", digest: DIGEST }],
    ["/v2/app/blobs/uploads", { kind: "uploads", name: "app" }],
    ["/v2/app/blobs/uploads/", { kind: "uploads", name: "app" }],
    [`/v2/app/blobs/uploads/${ID}`, { kind: "upload", name: "app", id: ID }],
    ["/v2/app/manifests/latest", { kind: "manifest", name: "app", reference: "latest" }],
    [`/v2/app/manifests/${DIGEST}`, { kind: "manifest", name: "app", reference: DIGEST }],
    ["/v2/app/tags/list", { kind: "tags", name: "app" }],
    [`/v2/app/referrers/${DIGEST}`, { kind: "referrers", name: "app", digest: DIGEST }],
    // Repositories that are called like endpoints.
    ["/v2/blobs/blobs/uploads", { kind: "uploads", name: "blobs" }],
    ["/v2/blobs/blobs/uploads/", { kind: "uploads", name: "blobs" }],
    [`/v2/blobs/blobs/uploads/${ID}`, { kind: "upload", name: "blobs", id: ID }],
    [`/v2/blobs/blobs/${DIGEST}`, { kind: "blob", name: "blobs", digest: DIGEST }],
    [`/v2/blobs/uploads/blobs/${DIGEST}`, { kind: "blob", name: "blobs/uploads", digest: DIGEST }],
    ["/v2/blobs/uploads/blobs/uploads/", { kind: "uploads", name: "blobs/uploads" }],
    [`/v2/blobs/uploads/blobs/uploads/${ID}`, { kind: "upload", name: "blobs/uploads", id: ID }],
    ["/v2/a/blobs/uploads/tags/list", { kind: "tags", name: "a/blobs/uploads" }],
    ["/v2/a/blobs/uploads/manifests/v1", { kind: "manifest", name: "a/blobs/uploads", reference: "v1" }],
    ["/v2/tags/tags/list", { kind: "tags", name: "tags" }],
    ["/v2/tags/list/tags/list", { kind: "tags", name: "tags/list" }],
    ["/v2/tags/list/manifests/list", { kind: "manifest", name: "tags/list", reference: "list" }],
    ["/v2/manifests/manifests/manifests", { kind: "manifest", name: "manifests", reference: "manifests" }],
    ["/v2/a/manifests/b/manifests/c", { kind: "manifest", name: "a/manifests/b", reference: "c" }],
    ["/v2/a/manifests/b/tags/list", { kind: "tags", name: "a/manifests/b" }],
    [`/v2/referrers/referrers/${DIGEST}`, { kind: "referrers", name: "referrers", digest: DIGEST }],
    ["/v2/v2/manifests/v2", { kind: "manifest", name: "v2", reference: "v2" }],
    // Tags that are called like endpoints.
    ["/v2/app/manifests/uploads", { kind: "manifest", name: "app", reference: "uploads" }],
    ["/v2/app/manifests/list", { kind: "manifest", name: "app", reference: "list" }],
    ["/v2/app/manifests/_catalog", { kind: "manifest", name: "app", reference: "_catalog" }],
    // Percent signs.
    [`/v2/app/blobs/${DIGEST.replace(":", "%3A")}`, { kind: "blob", name: "app", digest: DIGEST }],
    [`/v2/app/blobs/${DIGEST.replace(":", "%3a")}`, { kind: "blob", name: "app", digest: DIGEST }],
    ["/v2/%61pp/manifests/v%31", { kind: "manifest", name: "app", reference: "v1" }],
    ["/v2/app/%6Danifests/v1", { kind: "manifest", name: "app", reference: "v1" }],
    ["/v2/app/t%61gs/lis%74", { kind: "tags", name: "app" }],
    ["/v2/app/manifests/%C3%A4", { kind: "manifest", name: "app", reference: "ä" }],
    // Bad names and references are told by those who parse them, and hidden slashes stay hidden.
    ["/v2/UPPER/manifests/v1", { kind: "manifest", name: "UPPER", reference: "v1" }],
    ["/v2//manifests/v1", { kind: "manifest", name: "", reference: "v1" }],
    ["/v2/a//b/manifests/v1", { kind: "manifest", name: "a//b", reference: "v1" }],
    ["/v2/a%2Fb/manifests/v1", { kind: "manifest", name: "a%2Fb", reference: "v1" }],
    ["/v2/a%2fb/manifests/v1", { kind: "manifest", name: "a%2Fb", reference: "v1" }],
    ["/v2/a/manifests/..%2f..", { kind: "manifest", name: "a", reference: "..%2F.." }],
    ["/v2/a%00/manifests/v1", { kind: "manifest", name: "a\0", reference: "v1" }],
    ["/v2/a%zz/manifests/v%", { kind: "manifest", name: "a%zz", reference: "v%" }],
    ["/v2/a%ff/manifests/%C3", { kind: "manifest", name: "a%ff", reference: "%C3" }],
    ["/v2/a%252Fb/manifests/v1", { kind: "manifest", name: "a%2Fb", reference: "v1" }],
  ];
  for (const [path, route] of cases) {
    test(`${path.replace(DIGEST, "sha256:…")} names ${route.kind}${"name" in route ? ` of ${JSON.stringify(route.name)}` : ""}`, () => {
      expect(spellRoute(path)).toEqual(route);
    });
  }

  const none = [
    "",
    "//",
    "/v1/",
    "/v2x",
    "/V2/",
    "v2/",
    "/v2//",
    "/v2/_catalog/",
    "/v2/_catalogs",
    "/v2/app",
    "/v2/app/",
    "/v2/manifests/v1",
    "/v2/tags/list",
    `/v2/blobs/${DIGEST}`,
    "/v2/blobs/uploads",
    "/v2/blobs/uploads/",
    `/v2/blobs/uploads/${ID}`,
    "/v2/app/blobs/",
    "/v2/app/blobs",
    "/v2/app/manifests/",
    "/v2/app/manifests/v1/",
    "/v2/app/manifests",
    "/v2/app/manifests%2Fv1",
    "/v2/app/tags",
    "/v2/app/tags/",
    "/v2/app/tags/list/",
    "/v2/app/tags/lists",
    "/v2/app/referrers/",
    "/v2/app/layers/x",
    "/v2/app/Manifests/v1",
    `/v2/app/blobs/uploads/${ID}/`,
    `/v2/app/blobs/uploads/${ID}/more`,
    "/v2/a\\b/tags/list",
    "/v2/a%5cb/tags/list",
    "/v2/a/tags/list%5C",
    "/v2/a/../b/tags/list",
    "/v2/a/%2e%2E/b/tags/list",
    "/v2/./b/tags/list",
    "/v2/b/manifests/.%2e",
    "/healthz/",
    "/healthz/x",
    "/readyz2",
  ];
  for (const path of none) {
    test(`${JSON.stringify(path.replace(DIGEST, "sha256:…"))} names nothing`, () => {
      expect(spellRoute(path)).toBeUndefined();
    });
  }
});

describe("a path that is made of an endpoint and its parts", () => {
  /** The specification's `<name>`, of words among which are all that endpoints are called by. */
  const word = fc.oneof(
    fc.constantFrom("blobs", "uploads", "manifests", "tags", "list", "referrers", "v2"),
    fc.stringMatching(/^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*$/),
  );
  const name = fc.array(word, { minLength: 1, maxLength: 4 }).map((words) => words.join("/"));
  const digest = fc.stringMatching(/^sha256:[0-9a-f]{64}$/);
  const tag = fc.oneof(word, fc.stringMatching(/^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20}$/));
  const route: fc.Arbitrary<SpelledRoute> = fc.oneof(
    fc.record({ kind: fc.constant("blob" as const), name, digest }),
    fc.record({ kind: fc.constant("uploads" as const), name }),
    fc.record({ kind: fc.constant("upload" as const), name, id: fc.uuid() }),
    fc.record({ kind: fc.constant("manifest" as const), name, reference: fc.oneof(tag, digest) }),
    fc.record({ kind: fc.constant("tags" as const), name }),
    fc.record({ kind: fc.constant("referrers" as const), name, digest }),
    fc.constantFrom<SpelledRoute>(
      { kind: "base" },
      { kind: "catalog" },
      { kind: "welcome" },
      { kind: "health" },
      { kind: "ready" },
    ),
  );

  test("gives the endpoint and its parts back", () => {
    fc.assert(
      fc.property(route, (each) => expect(spellRoute(pathOf(each))).toEqual(each)),
      { numRuns: 500 },
    );
  });

  test("gives them back when any of its characters are escaped", () => {
    fc.assert(
      fc.property(route, fc.infiniteStream(fc.boolean()), (each, choices) => {
        fc.pre("name" in each);
        const escaped = pathOf(each)
          .slice("/v2/".length)
          .replaceAll(/[^/]/g, (character) => {
            const { value } = choices.next() as { value: boolean };
            return value ? `%${character.charCodeAt(0).toString(16)}` : character;
          });
        expect(spellRoute(`/v2/${escaped}`)).toEqual(each);
      }),
    );
  });

  test("names something or nothing, and is read without an error, whatever it is", () => {
    const piece = fc.oneof(
      fc.constantFrom("/", "/v2/", "blobs", "uploads", "manifests", "tags/list", "%2F", "%", "..", ""),
      fc.string(),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
        const found = spellRoute(pieces.join(""));
        if (found !== undefined) expect(Object.keys(METHODS)).toContain(found.kind);
      }),
      { numRuns: 300 },
    );
  });
});

describe("the parts of a route", () => {
  test("are parsed values", () => {
    const [name, digest] = [repositoryName("team/app"), digestIn(DIGEST)];
    expect(parseRoute(`/v2/team/app/blobs/${DIGEST}`, "GET")).toEqual({ kind: "blob", name, digest });
    expect(parseRoute("/v2/team/app/manifests/v1", "PUT")).toEqual({
      kind: "manifest",
      name,
      reference: { kind: "tag", tag: tagIn("v1") },
    });
    expect(parseRoute(`/v2/team/app/manifests/${DIGEST}`, "GET")).toEqual({
      kind: "manifest",
      name,
      reference: { kind: "digest", digest },
    });
  });

  const invalid: readonly (readonly [method: string, path: string, name: string | undefined, code: string])[] = [
    ["GET", "/v2/UPPER/manifests/v1", undefined, "NAME_INVALID"],
    ["GET", "/v2/a%2Fb/tags/list", undefined, "NAME_INVALID"],
    ["POST", "/v2/a--/blobs/uploads/", undefined, "NAME_INVALID"],
    ["GET", "/v2/app/blobs/sha256:short", "app", "DIGEST_INVALID"],
    ["DELETE", "/v2/app/blobs/latest", "app", "DIGEST_INVALID"],
    ["GET", "/v2/app/referrers/md5:0", "app", "DIGEST_INVALID"],
    ["GET", "/v2/app/manifests/sha256:short", "app", "DIGEST_INVALID"],
    ["PUT", "/v2/app/manifests/sha256:short", "app", "DIGEST_INVALID"],
    // What can be no reference is not there for a reader, and not allowed for a writer.
    ["GET", "/v2/app/manifests/-bad", "app", "MANIFEST_UNKNOWN"],
    ["HEAD", "/v2/app/manifests/-bad", "app", "MANIFEST_UNKNOWN"],
    ["PUT", "/v2/app/manifests/-bad", "app", "TAG_INVALID"],
    ["DELETE", "/v2/app/manifests/-bad", "app", "TAG_INVALID"],
    ["PATCH", "/v2/app/blobs/uploads/no%20id", "app", "BLOB_UPLOAD_UNKNOWN"],
  ];
  for (const [method, path, name, code] of invalid) {
    test(`${method} ${path} has a part that cannot be: ${code}`, () => {
      expect(parseRoute(path, method)).toMatchObject({ name, refusal: { code } });
    });
  }
});

describe("the part of a path below a prefix", () => {
  const rows: readonly (readonly [prefix: string, path: string, below: string | undefined])[] = [
    ["", "/v2/", "/v2/"],
    ["/reg", "/reg/v2/", "/v2/"],
    ["/reg", "/reg/v2/reg/tags/list", "/v2/reg/tags/list"],
    ["/reg", "/reg", "/"],
    ["/reg", "/reg/", "/"],
    ["/reg", "/regv2/", undefined],
    ["/reg", "/v2/", undefined],
    ["/reg", "/other/reg/v2/", undefined],
    ["/v2", "/v2/v2/", "/v2/"],
    ["/a/b", "/a/v2/", undefined],
    // Probes of a load balancer are sent to the top of the host.
    ["/reg", "/healthz", "/healthz"],
    ["/reg", "/readyz", "/readyz"],
    ["/reg", "/reg/readyz", "/readyz"],
    ["/reg", "/", "/"],
    ["/reg", "/token", undefined],
  ];
  for (const [prefix, path, below] of rows) {
    test(`${path} below ${prefix || "nothing"} is ${below}`, () => expect(pathBelow(prefix, path)).toBe(below));
  }
});

describe("what can be done at an endpoint", () => {
  test("is HEAD wherever it is GET", () => {
    for (const methods of Object.values(METHODS)) expect(methods.includes("HEAD")).toBe(methods.includes("GET"));
  });

  test("is what the specification names, each once", () => {
    expect(METHODS).toMatchObject({
      blob: ["GET", "HEAD", "DELETE"],
      uploads: ["POST"],
      upload: ["GET", "HEAD", "PATCH", "PUT", "DELETE"],
      manifest: ["GET", "HEAD", "PUT", "DELETE"],
    });
    for (const methods of Object.values(METHODS)) expect(new Set(methods).size).toBe(methods.length);
  });
});

function pathOf(route: SpelledRoute): string {
  switch (route.kind) {
    case "base":
      return "/v2/";
    case "catalog":
      return "/v2/_catalog";
    case "blob":
      return `/v2/${route.name}/blobs/${route.digest}`;
    case "uploads":
      return `/v2/${route.name}/blobs/uploads/`;
    case "upload":
      return `/v2/${route.name}/blobs/uploads/${route.id}`;
    case "manifest":
      return `/v2/${route.name}/manifests/${route.reference}`;
    case "tags":
      return `/v2/${route.name}/tags/list`;
    case "referrers":
      return `/v2/${route.name}/referrers/${route.digest}`;
    case "signatures":
      return `/extensions/v2/${route.name}/signatures/${route.digest}`;
    case "token":
      return "/token";
    case "keys":
      return "/.well-known/jwks.json";
    case "api":
      return `/api/v1${API_RESOURCES[route.resource].path}`.replaceAll(
        /\{(\w+)\}/g,
        (_, part: string) => route.parts[part] ?? "",
      );
    case "welcome":
      return "/";
    case "page":
      return "/r";
    case "page-file":
      return `/ui/${route.file}`;
    case "health":
      return "/healthz";
    case "ready":
      return "/readyz";
  }
}
