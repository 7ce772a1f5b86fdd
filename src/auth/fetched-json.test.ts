/** JSON from other servers: what is asked, and what is not taken. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { fetchJson, isTrustworthy } from "./fetched-json.ts";

let server: Bun.Server<undefined>;
let asked = 0;
beforeAll(() => {
  server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request) {
      asked++;
      const { pathname } = new URL(request.url);
      if (pathname === "/good") return Response.json({ keys: [] });
      if (pathname === "/elsewhere") return Response.redirect("/good");
      if (pathname === "/large") return new Response(`"${"x".repeat(1024 ** 2)}"`);
      if (pathname === "/text") return new Response("<html>");
      return new Response("{}", { status: 404 });
    },
  });
});
afterAll(() => server.stop(true));

function failure(path: string): Promise<string> {
  return fetchJson(`${server.url.origin}${path}`).then(() => "taken", String);
}

describe("JSON from another server", () => {
  test("is read", async () => {
    expect(await fetchJson(`${server.url.origin}/good`)).toEqual({ keys: [] });
  });

  test("is not taken from where a server sends us, from an error, or when it is none", async () => {
    expect(await failure("/elsewhere")).not.toBe("taken");
    expect(await failure("/missing")).toContain("answered 404");
    expect(await failure("/text")).toContain("JSON");
  });

  test("is not taken when it is larger than any document about keys", async () => {
    expect(await failure("/large")).toContain("more than 1048576 bytes");
  });

  test("is asked for over TLS, or on this machine alone", async () => {
    for (const address of [
      "https://ci.example.com/x",
      "http://127.0.0.1:1",
      "http://localhost/x",
      "http://[::1]:5000/x",
    ]) {
      expect(isTrustworthy(new URL(address))).toBeTrue();
    }
    const others = [
      "http://ci.example.com",
      "http://127.0.0.1.example.com",
      "http://10.0.0.1",
      "http://localhost.example.com",
    ];
    for (const address of [...others, "ftp://127.0.0.1", "file:///etc/passwd"]) {
      expect(isTrustworthy(new URL(address))).toBeFalse();
    }
    const before = asked;
    const inTheClear = `http://host.invalid:${server.port}/good`;
    expect(await fetchJson(inTheClear).then(() => "taken", String)).toContain("neither https nor on this machine");
    expect(asked).toBe(before);
  });
});
