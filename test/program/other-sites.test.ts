/** A registry of this machine alone that asks for no login, and what web pages could do to it. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { hashOf } from "../../src/auth/testing/passwords.ts";
import { pushImage } from "../support/client.ts";
import { request } from "../support/raw-request.ts";
import { startRegistry } from "../support/registry.ts";
import type { RunningRegistry } from "../support/registry.ts";
import { scratchFolder } from "../support/scratch.ts";
import { startListening } from "../support/server-process.ts";

setDefaultTimeout(60_000);

const scratch = await scratchFolder();
const EVIL = { origin: "http://evil.example" };

/** The status of a request that is written by hand, so that no client completes its headers. */
async function status(
  port: number,
  method: string,
  target: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<number> {
  const length = method === "POST" ? { "Content-Length": "0" } : {};
  return (await request(port, { method, target, headers: { ...length, ...headers } })).status;
}

describe("a registry that listens to its machine and asks for no login", () => {
  let registry: RunningRegistry;
  beforeAll(async () => {
    registry = await startRegistry();
    await pushImage(registry.url, "team/app", "v1");
  });
  afterAll(() => registry[Symbol.asyncDispose]());

  const MANIFEST = "/v2/team/app/manifests/v1";
  const UPLOADS = "/v2/team/app/blobs/uploads/";

  test("is served under its addresses, localhost and names without a domain", async () => {
    for (const host of ["127.0.0.1", "localhost:5000", "[::1]:5000", "kind-registry:5000", "registry.localhost"]) {
      expect([host, await status(registry.port, "GET", MANIFEST, { Host: host })]).toEqual([host, 200]);
      expect([host, await status(registry.port, "POST", UPLOADS, { Host: host })]).toEqual([host, 202]);
    }
  });

  test("is not served under a name that a web page could have, also from the cache", async () => {
    for (let times = 0; times < 2; times++) {
      for (const target of [MANIFEST, "/v2/", "/v2/_catalog", "/", "/healthz", "/no-such-page"]) {
        const headers = { Host: "evil.example:5000" };
        expect([target, await status(registry.port, "GET", target, headers)]).toEqual([target, 403]);
      }
      expect(await status(registry.port, "GET", MANIFEST)).toBe(200);
    }
    const refused = await request(registry.port, { target: MANIFEST, headers: { Host: "evil.example:5000" } });
    expect(JSON.parse(refused.body)).toMatchObject({ errors: [{ code: "DENIED" }] });
    expect(refused.body).toContain("http.host");
  });

  test("takes nothing that a page of another site sends", async () => {
    const before = await (await fetch(`${registry.url}/v2/_catalog`)).json();
    for (const headers of [
      EVIL,
      { origin: "null" },
      { "sec-fetch-site": "cross-site" },
      { "sec-fetch-site": "same-site" },
    ]) {
      for (const [method, target] of [
        ["POST", UPLOADS],
        ["POST", "/v2/new/blobs/uploads/"],
        ["PUT", MANIFEST],
        ["DELETE", MANIFEST],
      ] as const) {
        expect(await status(registry.port, method, target, headers)).toBe(403);
      }
      expect(await status(registry.port, "GET", MANIFEST, headers)).toBe(200); // the page does not get to see it
    }
    expect(await (await fetch(`${registry.url}/v2/_catalog`)).json()).toEqual(before);
    expect(await status(registry.port, "POST", UPLOADS, { origin: registry.url })).toBe(202);
  });
});

describe("the same rule", () => {
  test("knows http.host and the origins of CORS", async () => {
    const env = {
      REGISTRY_HTTP_HOST: "https://registry.example.com",
      REGISTRY_HTTP_HEADERS_ACCESS_CONTROL_ALLOW_ORIGIN: "[https://ui.example.com]",
    };
    await using registry = await startRegistry({ env });
    for (const origin of ["https://registry.example.com", "https://ui.example.com"]) {
      const headers = { Host: "registry.example.com", origin };
      expect(await status(registry.port, "POST", "/v2/a/blobs/uploads/", headers)).toBe(202);
    }
    expect(await status(registry.port, "POST", "/v2/a/blobs/uploads/", EVIL)).toBe(403);
    expect(await status(registry.port, "GET", "/v2/", { Host: "other.example.com" })).toBe(403);
  });

  const rows: Readonly<Record<string, Record<string, string>>> = {
    "an address beyond the machine": { REGISTRY_HTTP_ADDR: "0.0.0.0:0" },
    "a login": { REGISTRY_AUTH_HTPASSWD_PATH: join(scratch, "htpasswd") },
  };
  for (const [title, env] of Object.entries(rows)) {
    test(`does not hold with ${title}`, async () => {
      await writeFile(join(scratch, "htpasswd"), `alice:${await hashOf("wonderland", "bcrypt")}\n`);
      await using server = await startListening({ env });
      const answered = env["REGISTRY_AUTH_HTPASSWD_PATH"] === undefined ? 202 : 401;
      for (const headers of [{ Host: "registry.example.com" }, EVIL]) {
        expect(await status(server.port, "POST", "/v2/a/blobs/uploads/", headers)).toBe(answered);
      }
    });
  }

  test("holds with a login for what a browser marks, which may attach a stored password", async () => {
    await writeFile(join(scratch, "htpasswd"), `alice:${await hashOf("wonderland", "bcrypt")}\n`);
    const env = {
      REGISTRY_AUTH_HTPASSWD_PATH: join(scratch, "htpasswd"),
      REGISTRY_HTTP_HEADERS_ACCESS_CONTROL_ALLOW_ORIGIN: "[https://ui.example.com]",
    };
    await using server = await startListening({ env });
    const login = { authorization: `Basic ${btoa("alice:wonderland")}` };
    const marked = { ...login, "sec-fetch-site": "cross-site" };
    const statusOf = (headers: Readonly<Record<string, string>>): Promise<number> =>
      status(server.port, "POST", "/v2/a/blobs/uploads/", headers);
    expect(await statusOf({ ...marked, ...EVIL })).toBe(403);
    expect(await statusOf({ ...marked, origin: "https://ui.example.com" })).toBe(202);
    expect(await statusOf({ ...login, ...EVIL })).toBe(202);
    expect(await status(server.port, "GET", "/v2/", marked)).toBe(200);
  });
});
