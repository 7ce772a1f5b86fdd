/** Addresses of our own: always a path, and one that leads back to what it was made of. */
import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { digestOf } from "../../oci/digest.ts";
import { repositoryName } from "../../oci/repository-name.ts";
import { belowPrefix, blobPath, manifestPath, nextPage, uploadPath } from "./links.ts";
import { spellRoute } from "../routes.ts";

const DIGEST = digestOf(Buffer.from("x"));

describe("an address of our own", () => {
  for (const text of ["app", "team/app", "blobs/uploads", "a/manifests/b", "tags/list"]) {
    const name = repositoryName(text);
    test(`leads to what it was made of in ${text}`, () => {
      expect(spellRoute(blobPath(name, DIGEST))).toEqual({ kind: "blob", name, digest: DIGEST });
      const [path = ""] = uploadPath(name, "1-2", 7).split("?");
      expect(spellRoute(path)).toEqual({ kind: "upload", name, id: "1-2" });
      expect(spellRoute(manifestPath(name, DIGEST))).toEqual({ kind: "manifest", name, reference: DIGEST });
    });
  }

  test("is a path without a host, right behind every proxy", () => {
    const name = repositoryName("team/app");
    expect(blobPath(name, DIGEST)).toBe(`/v2/team/app/blobs/${DIGEST}`);
    expect(uploadPath(name, "1-2", 7)).toBe("/v2/team/app/blobs/uploads/1-2?offset=7");
    expect(uploadPath(name, "1-2")).toBe("/v2/team/app/blobs/uploads/1-2?offset=");
    expect(manifestPath(name, DIGEST)).toBe(`/v2/team/app/manifests/${DIGEST}`);
  });
});

describe("headers of a registry below a prefix", () => {
  test("have it in Location and Link where those are paths", () => {
    const headers = { location: "/v2/a/blobs/x", link: '</v2/_catalog?n=1>; rel="next"', etag: "/v2/" };
    expect(belowPrefix(headers, "/reg")).toEqual({
      location: "/reg/v2/a/blobs/x",
      link: '</reg/v2/_catalog?n=1>; rel="next"',
      etag: "/v2/",
    });
    expect(belowPrefix({ location: "https://store.example/x" }, "/reg")).toEqual({
      location: "https://store.example/x",
    });
  });

  test("are left alone without a prefix, or without an address", () => {
    const headers = { location: "/v2/a/blobs/x" };
    expect(belowPrefix(headers, "")).toBe(headers);
    const others = { etag: "x" };
    expect(belowPrefix(others, "/reg")).toBe(others);
  });
});

describe("the link to the next page", () => {
  test("is a path in angle brackets and its relation (RFC 8288)", () => {
    const link = nextPage("/v2/app/tags/list", new URLSearchParams(), { n: "2", last: "b" });
    expect(link).toBe('</v2/app/tags/list?n=2&last=b>; rel="next"');
  });

  test("has the parameters of this request, with the new ones in their places", () => {
    const link = nextPage("/v2/_catalog", new URLSearchParams("a=1&last=x&n=5000&a=2"), { n: "1000", last: "y" });
    expect(link).toBe('</v2/_catalog?a=1&last=y&n=1000&a=2>; rel="next"');
  });

  test("has no more than those that lists know where the others would make it long", () => {
    const parameters = new URLSearchParams(`a=${">".repeat(1000)}&artifactType=b&last=x&artifactType=c`);
    const link = nextPage("/v2/app/referrers/d", parameters, { last: "y" });
    expect(link).toBe('</v2/app/referrers/d?artifactType=b&last=y&artifactType=c>; rel="next"');
  });

  test("has a parameter once that this request had several times", () => {
    expect(nextPage("/p", new URLSearchParams("last=a&last=b"), { last: "c" })).toBe('</p?last=c>; rel="next"');
  });

  test("leaves out what is no longer meant", () => {
    expect(nextPage("/p", new URLSearchParams("last=a&n=1"), { last: undefined })).toBe('</p?n=1>; rel="next"');
  });

  test("leaves this request's parameters as they are", () => {
    const parameters = new URLSearchParams("last=a");
    nextPage("/p", parameters, { last: "b", n: "1" });
    expect(parameters.toString()).toBe("last=a");
  });

  test("is one link, which says again what it was told, whatever that is", () => {
    const value = fc.oneof(fc.string(), fc.constantFrom(">", '"', ";", ",", "<", "\r\n", "ä", "+", " ", "%", "&a=b"));
    fc.assert(
      fc.property(value, value, fc.array(value), (last, filter, others) => {
        const parameters = new URLSearchParams([
          ["n", filter],
          ...others.map((other): [string, string] => ["artifactType", other]),
        ]);
        const link = nextPage("/v2/app/tags/list", parameters, { last });
        const [, query = ""] = /^<\/v2\/app\/tags\/list\?([^<>"\s]*)>; rel="next"$/.exec(link) ?? [];
        const next = new URLSearchParams(query);
        expect(next.getAll("last")).toEqual([last]);
        expect(next.getAll("n")).toEqual([filter]);
        expect(next.getAll("artifactType")).toEqual(others);
      }),
    );
  });
});
