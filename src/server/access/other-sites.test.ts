/** What pages of other sites make browsers send to a registry of this machine alone. */
import { describe, expect, test } from "bun:test";
import { CrossOrigin } from "../http/cross-origin.ts";
import { OtherSites } from "./other-sites.ts";
import type { OtherSitesOptions } from "./other-sites.ts";

const UI = "http://ui.example:8080";

/** Whether a request is served. */
function isServed(
  { url = "http://127.0.0.1:5000/v2/", method = "GET", headers = {} }: Sent,
  options: Partial<OtherSitesOptions> = {},
): boolean {
  const sites = new OtherSites({ refused: "names and pages", ...options });
  try {
    sites.refuse(new Request(url, { method, headers }));
    return true;
  } catch (error) {
    expect(error).toMatchObject({ code: "DENIED", status: 403 });
    return false;
  }
}

interface Sent {
  readonly url?: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

describe("a name", () => {
  const own = [
    "localhost",
    "LOCALHOST",
    "localhost.",
    "registry.localhost",
    "127.0.0.1",
    "10.0.0.5",
    "[::1]",
    "[fe80::1]",
  ];
  for (const host of [...own, "kind-registry", "host.docker.internal", "host.containers.internal"]) {
    test(`${host} is the registry's own`, () => {
      for (const port of ["", ":5000"]) expect(isServed({ url: `http://${host}${port}/v2/` })).toBeTrue();
    });
  }

  const others = ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "evil-localhost.com"];
  for (const host of [...others, "registry.example.com", "host.docker.internal.evil.example", "a.internal"]) {
    test(`${host} is another site's`, () => {
      for (const method of ["GET", "HEAD", "POST", "OPTIONS"]) {
        expect(isServed({ url: `http://${host}:5000/v2/`, method })).toBeFalse();
      }
    });
  }

  test("is the registry's own where the settings say so, on any port", () => {
    const host = "https://registry.example.com";
    for (const url of ["http://registry.example.com/v2/", "http://Registry.Example.com:5000/v2/"]) {
      expect(isServed({ url }, { host })).toBeTrue();
    }
    expect(isServed({ url: "http://other.example.com/v2/" }, { host })).toBeFalse();
  });

  test("is not looked at where a certificate proves it", () => {
    expect(isServed({ url: "https://registry.lan:5000/v2/" }, { refused: "pages" })).toBeTrue();
  });
});

function post(headers: Readonly<Record<string, string>>): Sent {
  return { method: "POST", headers };
}

describe("a request that may change something", () => {
  test("is served when no browser sends it", () => {
    for (const method of ["POST", "PUT", "PATCH", "DELETE"]) expect(isServed({ method })).toBeTrue();
  });

  test("is served when a browser says that the registry's own page sends it, or a person", () => {
    const own = { origin: "http://127.0.0.1:5000" };
    expect(isServed(post(own))).toBeTrue();
    expect(isServed(post({ ...own, "sec-fetch-site": "same-origin" }))).toBeTrue();
    // A proxy may change the Host, and a page may hide its address.
    expect(isServed(post({ origin: UI, "sec-fetch-site": "same-origin" }))).toBeTrue();
    expect(isServed(post({ origin: "null", "sec-fetch-site": "same-origin" }))).toBeTrue();
    expect(isServed(post({ "sec-fetch-site": "none" }))).toBeTrue();
  });

  test("is refused when a page of another origin sends it", () => {
    for (const origin of [UI, "null", "http://127.0.0.1:8080", "https://127.0.0.1", "nonsense", ""]) {
      expect([origin, isServed(post({ origin }))]).toEqual([origin, false]);
    }
    for (const site of ["cross-site", "same-site", "nonsense"]) {
      expect([site, isServed(post({ "sec-fetch-site": site }))]).toEqual([site, false]);
      expect(isServed(post({ "sec-fetch-site": site, origin: "http://127.0.0.1:5000" }))).toBeFalse();
    }
    expect(isServed({ ...post({ origin: UI }), method: "DELETE" }, { refused: "pages" })).toBeFalse();
  });

  test("is served when CORS lets that origin in, for the methods that it names", () => {
    const configured = { "access-control-allow-origin": [UI], "access-control-allow-methods": ["GET", "DELETE"] };
    const crossOrigin = CrossOrigin.of(configured);
    const headers = { origin: UI, "sec-fetch-site": "cross-site" };
    expect(isServed({ method: "DELETE", headers }, { crossOrigin })).toBeTrue();
    expect(isServed({ method: "POST", headers }, { crossOrigin })).toBeFalse();
    expect(isServed({ method: "DELETE", headers: { origin: "http://evil.example" } }, { crossOrigin })).toBeFalse();
  });

  test("is served when it comes from the address that clients call the registry", () => {
    const host = "https://registry.example.com";
    expect(isServed(post({ origin: host }), { host })).toBeTrue();
    expect(isServed(post({ origin: "https://ui.example.com" }), { host })).toBeFalse();
  });
});

describe("of a registry that requires a login", () => {
  const options = { refused: "marked pages" } as const;

  test("names are not looked at: a page has no password there", () => {
    expect(isServed({ url: "http://evil.example/v2/" }, options)).toBeTrue();
  });

  test("what a browser marks as another site's is refused, since it attaches the password that it has stored", () => {
    for (const site of ["cross-site", "same-site", "nonsense"]) {
      expect([site, isServed(post({ "sec-fetch-site": site }), options)]).toEqual([site, false]);
    }
  });

  test("what is not marked is served, whatever its origin: a proxy may have changed the Host", () => {
    expect(isServed(post({ origin: UI }), options)).toBeTrue();
    expect(isServed(post({ origin: UI, "sec-fetch-site": "same-origin" }), options)).toBeTrue();
  });
});

test("reading is not refused for where it comes from: the browser keeps the reply from the page", () => {
  for (const method of ["GET", "HEAD", "OPTIONS"]) {
    expect(isServed({ method, headers: { origin: UI, "sec-fetch-site": "cross-site" } })).toBeTrue();
  }
});
