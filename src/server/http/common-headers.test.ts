/** What every reply says. */
import { describe, expect, test } from "bun:test";
import { CommonHeaders, withDefaults } from "./common-headers.ts";

describe("every reply", () => {
  test("tells browsers to believe its type, and below /v2/ that this is a registry", () => {
    const headers = new CommonHeaders();
    expect(headers.at("/")).toEqual({ "x-content-type-options": "nosniff" });
    for (const path of ["/v2", "/v2/", "/v2/nothing", "/extensions/v2/a/signatures/x"]) {
      expect(headers.at(path)).toEqual({
        "x-content-type-options": "nosniff",
        "docker-distribution-api-version": "registry/2.0",
      });
    }
  });

  test("has the configured headers, whose names may be in any case, with all their values", () => {
    const headers = new CommonHeaders({
      "Strict-Transport-Security": ["max-age=1"],
      "X-Content-Type-Options": ["other"],
      "X-Several": ["a", "b"],
    });
    for (const path of ["/healthz", "/v2/"]) {
      expect(headers.at(path)).toMatchObject({
        "strict-transport-security": "max-age=1",
        "x-content-type-options": "other",
        "x-several": "a, b",
      });
    }
  });

  test("is the same object each time: it is made once", () => {
    const headers = new CommonHeaders({ "X-A": ["b"] });
    expect(headers.at("/v2/a")).toBe(headers.at("/v2/b"));
  });

  test("names an origin as CORS wants it", () => {
    expect(new CommonHeaders({ "Access-Control-Allow-Origin": ["*"] }).at("/v2/")).toMatchObject({
      "access-control-allow-origin": "*",
    });
    expect(new CommonHeaders({ "Access-Control-Allow-Origin": ["http://a", "http://b"] }).at("/v2/")).toMatchObject({
      vary: "Origin",
    });
  });

  test("cannot have what no header can have", () => {
    expect(() => new CommonHeaders({ "a b": ["c"] })).toThrow(TypeError);
    expect(() => new CommonHeaders({ a: ["b\r\nc: d"] })).toThrow(TypeError);
  });
});

describe("the headers of a reply", () => {
  test("go before those that every reply has", () => {
    expect(withDefaults({ etag: "x", a: "1" }, { a: "2", b: "3" })).toEqual({ etag: "x", a: "1", b: "3" });
  });

  test("and those together say all that the reply varies by", () => {
    expect(withDefaults({ vary: "Accept" }, { vary: "Origin" })).toEqual({ vary: "Accept, Origin" });
    expect(withDefaults({ vary: "Accept" }, {})).toEqual({ vary: "Accept" });
    expect(withDefaults({}, { vary: "Origin" })).toEqual({ vary: "Origin" });
  });
});
