/** Who asks, and by which address they know the registry. */
import { describe, expect, test } from "bun:test";
import { Origins } from "./origin.ts";

const PROXY = "10.0.0.1";
const behind = new Origins({ trustedProxies: ["10.0.0.0/8", "fd00::/8"] });

function request(headers: Readonly<Record<string, string>>, url = "http://registry.test:5000/v2/"): Request {
  return new Request(url, { headers: { host: new URL(url).host, ...headers } });
}

describe("the caller's address", () => {
  test("is the connection's, whatever headers say, when no proxy is trusted", () => {
    const asked = request({ "x-forwarded-for": "1.2.3.4", forwarded: "for=1.2.3.4;proto=https;host=evil" });
    expect(new Origins().callerOf(asked, PROXY)).toEqual({ address: PROXY });
    expect(behind.callerOf(asked, "192.0.2.1")).toEqual({ address: "192.0.2.1" });
    expect(behind.callerOf(asked, undefined)).toEqual({ address: undefined });
  });

  test("is the last one that no trusted proxy added: what a client wrote before it does not count", () => {
    const addresses = {
      "203.0.113.7": "203.0.113.7",
      "1.2.3.4, 203.0.113.7": "203.0.113.7",
      "1.2.3.4, 203.0.113.7, 10.9.9.9": "203.0.113.7",
      "10.1.1.1, 10.9.9.9": "10.1.1.1",
      "203.0.113.7:4711": "203.0.113.7",
      "[2001:db8::1]:4711": "2001:db8::1",
      "2001:db8::1": "2001:db8::1",
      "1.2.3.4, fd00::5": "1.2.3.4",
      "1.2.3.4, unknown, 10.2.2.2": PROXY,
      nonsense: PROXY,
      "": PROXY,
    };
    const seen = Object.keys(addresses).map((list) => [
      list,
      behind.callerOf(request({ "x-forwarded-for": list }), PROXY).address,
    ]);
    expect(Object.fromEntries(seen)).toEqual(addresses);
  });

  test("is read from Forwarded where no X-Forwarded header came", () => {
    const forwarded = 'for=1.2.3.4;host=evil, For="[2001:db8::7]:99";Proto=HTTPS;host="registry.test", for=10.4.4.4';
    expect(behind.callerOf(request({ forwarded }), PROXY).address).toBe("2001:db8::7");
    expect(baseOf(behind, request({ forwarded }))).toBe("https://registry.test");
    expect(behind.callerOf(request({ forwarded, "x-forwarded-proto": "https" }), PROXY).address).toBe(PROXY);
  });

  test("is the last hop of X-Forwarded-For, whatever a client writes into Forwarded", () => {
    for (const forwarded of ["for=1.2.3.4", "for=unknown", "for=203.0.113.7", "host=evil", ";;,", ""]) {
      const written = { "x-forwarded-for": "1.2.3.4, 203.0.113.7", forwarded };
      expect(behind.callerOf(request(written), PROXY).address).toBe("203.0.113.7");
    }
  });

  test("is the one that the proxy added to a Forwarded in which the client opened quotes, or ended them early", () => {
    for (const opened of ['for="', 'for="1.2.3.4\\"', 'for="1.2.3.4;host="evil', '"', '\\"', 'for="a,b"c"']) {
      const forwarded = `${opened}, for=203.0.113.7`;
      expect(behind.callerOf(request({ forwarded }), PROXY).address).toBe("203.0.113.7");
    }
    const quoted = 'for="1.2.3.4, \\", for=9.9.9.9", for=203.0.113.7, for="10.9.9.9"';
    expect(behind.callerOf(request({ forwarded: quoted }), PROXY).address).toBe("203.0.113.7");
  });

  test("is that of IPv4 where a socket for both families shows it inside one of IPv6", () => {
    const asked = request({ "x-forwarded-for": "203.0.113.7" });
    expect(behind.callerOf(asked, "::ffff:10.0.0.1").address).toBe("203.0.113.7");
  });

  test("comes from the client of a Unix socket when that is trusted", () => {
    const asked = request({ "x-forwarded-for": "203.0.113.7" });
    expect(new Origins({ trustedProxies: ["unix"] }).callerOf(asked, undefined).address).toBe("203.0.113.7");
  });
});

describe("the registry's own address", () => {
  test("is the one that was asked for", () => {
    expect(baseOf(new Origins(), request({}))).toBe("http://registry.test:5000");
    expect(baseOf(new Origins(), request({}, "https://registry.test/v2/"))).toBe("https://registry.test");
    expect(baseOf(new Origins(), request({}, "http://[::1]:5000/v2/"))).toBe("http://[::1]:5000");
  });

  test("is what a trusted proxy says", () => {
    const asked = request({ "x-forwarded-proto": "https", "x-forwarded-host": "registry.example.com" });
    expect(baseOf(behind, asked)).toBe("https://registry.example.com");
    expect(baseOf(behind, asked, "192.0.2.1")).toBe("http://registry.test:5000");
    expect(baseOf(new Origins(), asked)).toBe("http://registry.test:5000");
  });

  test("is the one asked for where Forwarded contradicts the X-Forwarded headers: a client wrote one of them", () => {
    const written = {
      "x-forwarded-for": "203.0.113.7",
      "x-forwarded-proto": "https",
      "x-forwarded-host": "registry.example.com",
    };
    for (const forwarded of ["for=1.2.3.4", "host=evil", "proto=http", "for=203.0.113.7;host=evil;proto=https"]) {
      expect(baseOf(behind, request({ ...written, forwarded }))).toBe("http://registry.test:5000");
    }
    const agreeing = "for=203.0.113.7;host=Registry.example.com;proto=https";
    expect(baseOf(behind, request({ ...written, forwarded: agreeing }))).toBe("https://registry.example.com");
  });

  test("is never what only Forwarded says beside X-Forwarded headers", () => {
    const written = { "x-forwarded-for": "203.0.113.7", "x-forwarded-proto": "https" };
    for (const forwarded of ["host=evil", "for=203.0.113.7;host=evil"]) {
      expect(baseOf(behind, request({ ...written, forwarded }))).toBe("https://registry.test:5000");
    }
  });

  test("is what the outermost trusted proxy appended, not what a client began the list with", () => {
    const lists = {
      "x-forwarded-for": "1.2.3.4, 203.0.113.7, 10.0.0.2",
      "x-forwarded-host": "evil, registry.example.com, inner",
      "x-forwarded-proto": "http, https, http",
    };
    expect(baseOf(behind, request(lists))).toBe("https://registry.example.com");
    expect(baseOf(behind, request({ "x-forwarded-host": "evil, registry.example.com" }))).toBe(
      "http://registry.example.com",
    );
    // One proxy appends, the next one overwrites.
    expect(baseOf(behind, request({ ...lists, "x-forwarded-host": "registry.example.com" }))).toBe(
      "https://registry.example.com",
    );
  });

  test("has the port that a trusted proxy says, unless its name has one or the scheme implies it", () => {
    const https = { "x-forwarded-proto": "https", "x-forwarded-host": "registry.example.com" };
    const rows: readonly (readonly [headers: Readonly<Record<string, string>>, base: string])[] = [
      [{ ...https, "x-forwarded-port": "8443" }, "https://registry.example.com:8443"],
      [{ ...https, "x-forwarded-port": "443" }, "https://registry.example.com"],
      [{ ...https, "x-forwarded-port": "80" }, "https://registry.example.com:80"],
      [{ ...https, "x-forwarded-host": "a.test:1", "x-forwarded-port": "2" }, "https://a.test:1"],
      [{ ...https, "x-forwarded-host": "[::1]", "x-forwarded-port": "2" }, "https://[::1]:2"],
      [{ "x-forwarded-proto": "https", host: "a.test", "x-forwarded-port": "8443" }, "https://a.test:8443"],
      [{ "x-forwarded-port": "8080", host: "a.test" }, "http://a.test:8080"],
      [{ ...https, "x-forwarded-port": "65536" }, "https://registry.example.com"],
      [{ ...https, "x-forwarded-port": '1"' }, "https://registry.example.com"],
      [{ ...https, "x-forwarded-port": "8443, 9443" }, "https://registry.example.com:9443"],
    ];
    for (const [headers, base] of rows) expect(baseOf(behind, request(headers))).toBe(base);
    expect(baseOf(behind, request({ "x-forwarded-port": "8443" }), "192.0.2.1")).toBe("http://registry.test:5000");
  });

  test("is the setting before anything else", () => {
    const fixed = new Origins({ trustedProxies: [PROXY], host: "https://registry.example.com/" });
    expect(baseOf(fixed, request({ "x-forwarded-host": "other.test" }))).toBe("https://registry.example.com");
  });

  test("holds nothing that could end the quotes of a header", () => {
    const hosts = ['evil",realm="http://x', "a b", "evil/path", "user@evil", "a:99999999", 'a"b', "a".repeat(1000)];
    for (const host of hosts) {
      expect(baseOf(behind, request({ "x-forwarded-host": host }))).toBe("http://registry.test:5000");
    }
    expect(baseOf(behind, request({ "x-forwarded-proto": "javascript" }))).toBe("http://registry.test:5000");
  });
});

test("what is neither an address nor a network cannot be trusted", () => {
  expect(() => new Origins({ trustedProxies: ["example.com"] })).toThrow("neither an address nor a network");
});

function baseOf(origins: Origins, asked: Request, peer = PROXY): string {
  return origins.baseOf(asked, origins.callerOf(asked, peer));
}
