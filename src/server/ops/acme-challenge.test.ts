import { describe, expect, test } from "bun:test";
import { createChallengeHandler } from "./acme-challenge.ts";
import type { Reply } from "../http/reply.ts";

const handle = createChallengeHandler({
  answerTo: async (token) => (token === "token" ? "token.thumbprint" : undefined),
  names: ["registry.example"],
  originOf: (name) => `https://${name}:5000`,
});

const at = async (url: string, method = "GET"): Promise<Reply> => await handle(new Request(url, { method }));

describe("the plain address beside TLS", () => {
  test("answers an authority, under whatever name or address it comes", async () => {
    for (const host of ["registry.example", "127.0.0.1"]) {
      expect(await at(`http://${host}/.well-known/acme-challenge/token`)).toMatchObject({
        status: 200,
        body: "token.thumbprint",
      });
    }
  });

  test("answers 404 for an unknown token, and does not redirect", async () => {
    for (const token of ["", "other", "token/", "token/../other", "%74oken"]) {
      expect(await at(`http://registry.example/.well-known/acme-challenge/${token}`)).toMatchObject({ status: 404 });
    }
  });

  test("redirects no client to an address that is too long for a header", async () => {
    expect(await at(`http://registry.example/${"a".repeat(10_000)}`)).toMatchObject({ status: 414 });
  });

  test("sends readers on to TLS, with all that they asked for", async () => {
    for (const method of ["GET", "HEAD"]) {
      expect(await at("http://registry.example:80/v2/a/tags/list?n=1&last=x", method)).toMatchObject({
        status: 308,
        headers: { location: "https://registry.example:5000/v2/a/tags/list?n=1&last=x" },
      });
    }
  });

  test("has nothing for others", async () => {
    expect(await at("http://evil.example/v2/")).toMatchObject({ status: 404 });
    for (const method of ["POST", "PUT", "DELETE", "OPTIONS"]) {
      expect(await at("http://registry.example/v2/", method)).toMatchObject({ status: 404 });
      expect(await at("http://registry.example/.well-known/acme-challenge/token", method)).toMatchObject({
        status: 404,
      });
    }
  });
});
