/** Who may read replies from pages of other origins, and what browsers are told of it. */
import { describe, expect, test } from "bun:test";
import { CrossOrigin } from "./cross-origin.ts";

const UI = "https://ui.example";

function from(origin: string | undefined): Request {
  return new Request("http://registry.test/v2/", origin === undefined ? {} : { headers: { origin } });
}

test("without an origin in the settings there is none", () => {
  expect(CrossOrigin.of({})).toBeUndefined();
  expect(CrossOrigin.of({ "access-control-allow-origin": [] })).toBeUndefined();
  expect(CrossOrigin.of({ "access-control-allow-methods": ["GET"] })).toBeUndefined();
});

describe("one origin", () => {
  const one = CrossOrigin.of({ "access-control-allow-origin": [UI] });

  test("is named on every response to every client", () => {
    expect(one?.headers()).toMatchObject({ "access-control-allow-origin": UI });
    expect(one?.headers()).not.toHaveProperty("vary");
    expect(one?.headersFor(from(UI))).toBeUndefined();
  });

  test("may read the digest, the next page and the challenge, unless the settings say what it may read", () => {
    const exposed = one?.headers()["access-control-expose-headers"];
    for (const name of ["Docker-Content-Digest", "Link", "WWW-Authenticate"]) expect(exposed).toContain(name);
    const said = CrossOrigin.of({ "access-control-allow-origin": [UI], "access-control-expose-headers": ["ETag"] });
    expect(said?.headers()).not.toHaveProperty("access-control-expose-headers");
  });
});

describe("of several origins", () => {
  const several = CrossOrigin.of({ "access-control-allow-origin": [UI, "http://localhost:8000"] });

  test("the one that asks is named to it, and the reply says that it varies", () => {
    expect(several?.headers()).toMatchObject({ vary: "Origin" });
    expect(several?.headers()).not.toHaveProperty("access-control-allow-origin");
    for (const origin of [UI, "http://localhost:8000"]) {
      expect(several?.headersFor(from(origin))).toEqual({ "access-control-allow-origin": origin });
    }
  });

  test("none is named to others", () => {
    for (const origin of ["https://evil.example", "null", `${UI}.evil.example`, UI.toUpperCase(), undefined]) {
      expect(several?.headersFor(from(origin))).toBeUndefined();
    }
  });
});

describe("a preflight request", () => {
  test("is told the methods of the endpoint and the headers of registries", () => {
    const headers = CrossOrigin.of({ "access-control-allow-origin": ["*"] })?.preflightHeaders([
      "GET",
      "HEAD",
      "DELETE",
    ]);
    expect(headers).toMatchObject({ "access-control-allow-methods": "GET, HEAD, DELETE" });
    expect(headers?.["access-control-allow-headers"]).toContain("Authorization");
  });

  test("is told what the settings say instead", () => {
    const headers = CrossOrigin.of({
      "access-control-allow-origin": ["*"],
      "access-control-allow-methods": ["GET"],
      "access-control-allow-headers": ["Accept"],
    })?.preflightHeaders(["GET", "DELETE"]);
    expect(headers).toEqual({ allow: "GET, DELETE, OPTIONS" });
  });
});

function configured(methods?: readonly string[], origins = [UI]): CrossOrigin | undefined {
  return CrossOrigin.of({
    "access-control-allow-origin": origins,
    ...(methods && { "access-control-allow-methods": methods }),
  });
}

describe("a page", () => {
  test("of a named origin may use every method, or those that the settings name", () => {
    expect(configured()?.allows(UI, "DELETE")).toBeTrue();
    expect(configured(["GET", "delete"])?.allows(UI, "DELETE")).toBeTrue();
    expect(configured(["GET, HEAD , DELETE"])?.allows(UI, "DELETE")).toBeTrue();
    expect(configured(["*"])?.allows(UI, "DELETE")).toBeTrue();
    expect(configured(["GET"])?.allows(UI, "DELETE")).toBeFalse();
  });

  test("of another origin may not", () => {
    for (const origin of ["https://evil.example", "null", ""]) expect(configured()?.allows(origin, "GET")).toBeFalse();
    expect(configured(undefined, ["*"])?.allows("https://evil.example", "GET")).toBeTrue();
  });
});
