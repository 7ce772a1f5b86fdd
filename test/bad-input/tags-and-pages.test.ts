/** Tags that are none, and page parameters that are none: distribution-spec, "Pulling manifests" and "Listing Tags". */
import { beforeAll, describe, expect, test } from "bun:test";
import { putManifest } from "../support/client.ts";
import { request } from "../support/raw-request.ts";
import type { RawRequest } from "../support/raw-request.ts";
import { errorsOf, expectRefused, testRefusals } from "./refusal.ts";
import type { BadRequest } from "./refusal.ts";
import { ABSENT, IMAGE, IMAGE_TEXT, REPOSITORY, testAliveAndQuiet, testUnchanged, useWitness } from "./witness.ts";

const witness = useWitness();

const BAD_TAGS: readonly (readonly [title: string, tag: string])[] = [
  ["129 characters", "a".repeat(129)],
  ["ten thousand characters", "a".repeat(10_000)],
  ["a dot before", ".v1"],
  ["a dash before", "-v1"],
  ["dots alone, three of them", "..."],
  ["a dash alone", "-"],
  ["a space", "v%201"],
  ["a space before", "%20v1"],
  ["a space behind", "v1%20"],
  ["a line break behind", "v1%0a"],
  ["a carriage return", "v1%0d"],
  ["a tab", "v1%09"],
  ["a plus", "v1+build"],
  ["an encoded plus", "v1%2Bbuild"],
  ["an at sign", "v1@v2"],
  ["a tilde", "v1~"],
  ["a comma", "v1,v2"],
  ["a semicolon", "v1;v2"],
  ["an equals sign", "v1=v2"],
  ["an ampersand", "v1&v2"],
  ["an asterisk", "*"],
  ["an exclamation mark", "v1!"],
  ["a dollar", "$v1"],
  ["parentheses", "v1()"],
  ["an apostrophe", "v1'"],
  ["a quotation mark", "v1%22"],
  ["an encoded question mark", "v1%3F"],
  ["an encoded hash", "v1%23"],
  ["an encoded percent sign", "v1%25"],
  ["a header behind a line break", "a%0d%0aX-Evil:%20yes"],
  ["a line break and a colon", "a%0a:1"],
  ["braces", "{v1}"],
  ["a letter of Latin 1", "caf%C3%A9"],
  ["a letter of Latin 1, as UTF-8 bytes", Buffer.from("café").toString("latin1")],
  ["a Cyrillic letter that looks like an a", "l%D0%B0test"],
  ["a full-width digit", "v%EF%BC%91"],
  ["an Arabic digit", "v%D9%A1"],
  ["a long s", "late%C5%BFt"],
  ["a zero-width space", "v1%E2%80%8B"],
  ["a byte order mark", "%EF%BB%BFv1"],
  ["an emoji", "%F0%9F%9A%A2"],
];

/** What a slash, a NUL or a broken escape hides may be taken for a bad tag, or for a bad path. */
const HIDDEN_TAGS: readonly (readonly [title: string, tag: string])[] = [
  ["a slash", "v1%2f2"],
  ["a way to a file of the machine", "..%2f..%2f..%2fetc%2fpasswd"],
  ["a NUL behind", "v1%00"],
  ["an escape that is none", "v1%zz"],
  ["a percent sign alone", "%"],
  ["a byte that is not UTF-8", "v1%ff"],
];

const put = (target: string): RawRequest => ({
  method: "PUT",
  target,
  headers: { "Content-Type": IMAGE.mediaType },
  body: IMAGE_TEXT,
});

describe("a tag that is none cannot be there: GET and HEAD 404 MANIFEST_UNKNOWN", () => {
  for (const [title, tag] of BAD_TAGS) {
    test(title, async () => {
      const target = `/v2/${REPOSITORY}/manifests/${tag}`;
      for (const method of ["GET", "HEAD"]) {
        await expectRefused(witness().registry, { method, target }, "404 MANIFEST_UNKNOWN");
      }
    });
  }
  testUnchanged(witness);
});

describe("a tag that is none cannot be set or removed: PUT and DELETE 400 TAG_INVALID, with the grammar", () => {
  for (const [title, tag] of BAD_TAGS) {
    test(title, async () => {
      const { registry } = witness();
      for (const repository of [REPOSITORY, ABSENT]) {
        const target = `/v2/${repository}/manifests/${tag}`;
        for (const wanted of [put(target), { method: "DELETE", target }]) {
          const reply = await expectRefused(registry, wanted, "400 TAG_INVALID");
          expect(errorsOf(reply)[0]?.message).toContain("[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}");
        }
      }
    });
  }
  testUnchanged(witness, ABSENT);
});

describe("a tag that is hidden in a path", () => {
  for (const [title, tag] of HIDDEN_TAGS) {
    test(`${title}: refused as a tag or as a path`, async () => {
      const { registry } = witness();
      const target = `/v2/${REPOSITORY}/manifests/${tag}`;
      for (const method of ["GET", "HEAD"]) {
        await expectRefused(registry, { method, target }, ["404 MANIFEST_UNKNOWN", "400 NAME_INVALID"]);
      }
      for (const wanted of [put(target), { method: "DELETE", target }]) {
        await expectRefused(registry, wanted, ["400 TAG_INVALID", "400 NAME_INVALID"]);
      }
    });
  }
  testUnchanged(witness);
});

describe("a tag at the edge of the grammar is a tag", () => {
  const tags = ["_", "0", "A", "v1.", "v1-", "a..b", "-".padStart(2, "_"), "a".repeat(128), "%76%32"];
  for (const tag of tags) {
    test(`${tag.slice(0, 8)} of ${tag.length}: it can be set, read and removed`, async () => {
      const { port } = witness().registry;
      const target = `/v2/${REPOSITORY}/manifests/${tag}`;
      expect((await request(port, put(target))).status).toBe(201);
      expect((await request(port, { target })).body).toBe(IMAGE_TEXT);
      expect((await request(port, { method: "DELETE", target })).status).toBe(202);
      expect((await request(port, { target })).status).toBe(404);
    });
  }
  testUnchanged(witness);
});

const BAD_NUMBERS: readonly (readonly [title: string, query: string])[] = [
  ["an exponent", "n=1e9"],
  ["a plus, which a query reads as a space", "n=+1"],
  ["an encoded plus", "n=%2B1"],
  ["minus zero", "n=-0"],
  ["minus one", "n=-1"],
  ["a large negative number", "n=-9999999999"],
  ["letters", "n=abc"],
  ["digits, then letters", "n=1abc"],
  ["a fraction", "n=1.5"],
  ["a fraction of nothing", "n=1.0"],
  ["a hexadecimal number", "n=0x10"],
  ["a binary number", "n=0b1"],
  ["digits with a separator", "n=1_000"],
  ["digits with a comma", "n=1,000"],
  ["a space before", "n=%201"],
  ["a space behind", "n=1%20"],
  ["a line break behind", "n=1%0a"],
  ["a NUL behind", "n=1%00"],
  ["infinity", "n=Infinity"],
  ["not a number", "n=NaN"],
  ["null", "n=null"],
  ["true", "n=true"],
  ["a list", "n=[1]"],
  ["a full-width digit", "n=%EF%BC%91"],
  ["an Arabic digit", "n=%D9%A1"],
  ["a superscript digit", "n=%C2%B2"],
  ["11 digits", "n=10000000000"],
  ["11 digits, ten of them zeros", "n=00000000001"],
  ["20 digits", "n=18446744073709551616"],
  ["400 digits", `n=${"9".repeat(400)}`],
  ["n twice", "n=1&n=2"],
  ["n twice, the same", "n=1&n=1"],
  ["n twice, the first empty", "n=&n=1"],
  ["n three times", "n=1&last=a&n=1&n=1"],
  ["a bad n and a last", "n=abc&last=v1"],
  ["an escape that is none", "n=%zz"],
];

for (const list of [`${REPOSITORY}/tags/list`, "_catalog"]) {
  describe(`an n of ${list} that is none: 400 PAGINATION_NUMBER_INVALID`, () => {
    testRefusals(
      () => witness().registry,
      BAD_NUMBERS.map(([title, query]): BadRequest => ({
        title,
        request: { target: `/v2/${list}?${query}` },
        expected: "400 PAGINATION_NUMBER_INVALID",
      })),
    );
    testUnchanged(witness);
  });
}

describe("strange pages of a tag list that are pages", () => {
  const list = `/v2/${REPOSITORY}/tags/list`;
  const all = ["all", "stable", "v1"];
  const rows: readonly (readonly [title: string, query: string, tags: readonly string[], isMore: boolean])[] = [
    ["n=0 is an empty page, and no more", "n=0", [], false],
    ["zeros", "n=0000000000", [], false],
    ["ten digits, nine of them zeros", "n=0000000001", ["all"], true],
    ["the largest n of ten digits", "n=9999999999", all, false],
    ["an n beyond 32 bits", "n=4294967297", all, false],
    ["exactly all", "n=3", all, false],
    ["an encoded digit", "n=%31", ["all"], true],
    ["an empty n counts as absent", "n=", all, false],
    ["an n without a value counts as absent", "n", all, false],
    ["another case of the name", "N=abc", all, false],
    ["the name with brackets", "n[]=1", all, false],
    ["an empty query", "", all, false],
    ["an unknown parameter", "page=2", all, false],
    ["last twice: the last one counts", "last=zzz&last=all", ["stable", "v1"], false],
    ["last twice: the last one counts, the other way round", "last=all&last=stable", ["v1"], false],
    ["an empty last", "last=", all, false],
    ["a last that is no tag here", "last=b", ["stable", "v1"], false],
    ["a last that can be no tag", "last=-%20!", all, false],
    ["a last behind all", "last=zzz", [], false],
    ["a last of a NUL", "last=%00", all, false],
    ["a last of bytes that are not UTF-8", "last=%ff", [], false],
    ["a last beyond ASCII", "last=%F0%9F%9A%A2", [], false],
    ["a last of ten thousand characters", `last=${"a".repeat(10_000)}`, all, false],
    ["a last with a quotation mark and a statement", "last='%3B%20delete%20from%20tag%3B%20--", all, false],
    ["a last with SQL's wildcards", "last=%25", all, false],
  ];
  for (const [title, query, tags, isMore] of rows) {
    test(title, async () => {
      const reply = await fetch(`${witness().registry.url}${list}?${query}`);
      expect(reply.status).toBe(200);
      expect(await reply.json()).toEqual({ name: REPOSITORY, tags });
      expect(reply.headers.has("link")).toBe(isMore);
    });
  }

  test("a last that is bytewise between two tags", async () => {
    // By bytes, upper case stands before lower case: no locale has a say.
    const reply = await fetch(`${witness().registry.url}${list}?last=Z`);
    expect(await reply.json()).toEqual({ name: REPOSITORY, tags: all });
  });
  testUnchanged(witness);
});

describe("strange pages of the catalog that are pages", () => {
  const rows: readonly (readonly [query: string, repositories: readonly string[], isMore: boolean])[] = [
    ["n=0", [], false],
    ["n=", ["library/other", REPOSITORY], false],
    ["n=1", ["library/other"], true],
    ["n=9999999999", ["library/other", REPOSITORY], false],
    ["last=zzz&last=library/other", [REPOSITORY], false],
    ["last=library/p", [REPOSITORY], false],
    ["last=Not/A/Name", ["library/other", REPOSITORY], false],
    ["last=zzz", [], false],
    ["last=%00", ["library/other", REPOSITORY], false],
  ];
  for (const [query, repositories, isMore] of rows) {
    test(query, async () => {
      const reply = await fetch(`${witness().registry.url}/v2/_catalog?${query}`);
      expect(reply.status).toBe(200);
      expect(await reply.json()).toEqual({ repositories });
      expect(reply.headers.has("link")).toBe(isMore);
    });
  }
  testUnchanged(witness);
});

describe("a tag list of no repository: 404 NAME_UNKNOWN", () => {
  testRefusals(
    () => witness().registry,
    ["", "?n=0", "?n=10", "?last=v1", "?n=9999999999&last=zzz"].map((query): BadRequest => ({
      title: query || "without a query",
      request: { target: `/v2/${ABSENT}/tags/list${query}` },
      expected: "404 NAME_UNKNOWN",
    })),
  );
  testUnchanged(witness, ABSENT);
});

describe("the address of the next page", () => {
  const tags = Array.from({ length: 5 }, (_, at) => `page-${at}`);
  beforeAll(async () => {
    for (const tag of tags) {
      const { url } = witness().registry;
      expect((await putManifest(url, REPOSITORY, tag, IMAGE_TEXT)).status).toBe(201);
    }
    await witness().remember();
  });

  test("is a path, on this registry, and nothing that a client sent gets out of its quotes", async () => {
    const { url } = witness().registry;
    const reply = await fetch(
      `${url}/v2/${REPOSITORY}/tags/list?n=2&more=%3E%3B%20rel%3D%22prev%22%0d%0aX-Evil%3A%20yes`,
    );
    expect(reply.status).toBe(200);
    expect(reply.headers.has("x-evil")).toBe(false);
    const link = /^<(\/v2\/[^<>"\s]*)>; rel="next"$/.exec(reply.headers.get("link") ?? "")?.[1];
    expect(link).toBeDefined();
    const next = await fetch(url + link);
    expect(await next.json()).toEqual({ name: REPOSITORY, tags: ["page-1", "page-2"] });
  });
  testUnchanged(witness);
});

testAliveAndQuiet(witness);
