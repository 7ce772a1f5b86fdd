/** `http.headers`: what an operator adds to every reply, and pages of other origins that it lets in. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { hashOf } from "../../src/auth/testing/passwords.ts";
import { basic } from "../auth/support/guarded-registry.ts";
import { pushImage } from "../support/client.ts";
import type { PushedImage } from "../support/client.ts";
import { request } from "../support/raw-request.ts";
import { startRegistry } from "../support/registry.ts";
import type { RunningRegistry } from "../support/registry.ts";
import { refusedStart } from "../support/refused-start.ts";
import { scratchFolder } from "../support/scratch.ts";

setDefaultTimeout(60_000);

const scratch = await scratchFolder();

/** As distribution's file has them, and the environment of a container. */
async function configured(): Promise<RunningRegistry> {
  const path = join(scratch, "config.yml");
  const headers = { "X-Content-Type-Options": ["nosniff"], "Strict-Transport-Security": ["max-age=31536000"] };
  await writeFile(path, JSON.stringify({ version: "0.1", http: { headers }, storage: { inline: 0 } }));
  return await startRegistry({
    args: [path],
    env: {
      "REGISTRY_HTTP_HEADERS_X-Frame-Options": "DENY",
      "REGISTRY_HTTP_HEADERS_Referrer-Policy": "[no-referrer]",
      REGISTRY_HTTP_HEADERS_STRICT_TRANSPORT_SECURITY: "[max-age=1, includeSubDomains]",
    },
  });
}

describe("configured headers", () => {
  let registry: RunningRegistry;
  let image: PushedImage;
  beforeAll(async () => {
    registry = await configured();
    image = await pushImage(registry.url, "team/app", "v1");
  });
  afterAll(() => registry[Symbol.asyncDispose]());

  async function expectHeaders(target: string, init: { method?: string; headers?: Record<string, string> } = {}) {
    const reply = await request(registry.port, { target, ...init });
    expect(reply.headers).toMatchObject({
      "strict-transport-security": "max-age=1, includeSubDomains",
      "x-frame-options": "DENY",
      "referrer-policy": "no-referrer",
      "x-content-type-options": "nosniff",
    });
    return reply;
  }

  test("are on every reply: fresh and from the cache, whole, in part and none", async () => {
    const manifest = "/v2/team/app/manifests/v1";
    const blob = `/v2/team/app/blobs/${image.layers[0]?.digest}`;
    for (let times = 0; times < 3; times++) {
      for (const method of ["GET", "HEAD"]) {
        for (const target of ["/", "/healthz", "/readyz", "/v2/", "/v2/_catalog", manifest, blob]) {
          expect((await expectHeaders(target, { method })).status).toBe(200);
        }
      }
      expect((await expectHeaders(blob, { headers: { range: "bytes=0-1" } })).status).toBe(206);
      expect((await expectHeaders(blob, { headers: { range: "bytes=9999-" } })).status).toBe(416);
      expect((await expectHeaders(manifest, { headers: { "if-none-match": `"${image.digest}"` } })).status).toBe(304);
    }
    expect((await expectHeaders("/v2/team/app/blobs/uploads/", { method: "POST" })).status).toBe(202);
    expect((await expectHeaders("/v2/absent/manifests/v1")).status).toBe(404);
    expect((await expectHeaders("/nothing")).status).toBe(404);
    expect((await expectHeaders(manifest, { method: "OPTIONS" })).status).toBe(405);
    expect((await expectHeaders("/v2/", { headers: { host: "a b" } })).status).toBe(400);
  });

  test("do not replace what a reply says itself", async () => {
    const env = {
      "REGISTRY_HTTP_HEADERS_Docker-Content-Digest": "lie",
      REGISTRY_HTTP_HEADERS_ETag: "lie",
      REGISTRY_HTTP_HEADERS_VARY: "Cookie",
    };
    await using other = await startRegistry({ env, dataDir: registry.dataDir });
    const { headers } = await request(other.port, { target: "/v2/team/app/manifests/v1" });
    expect(headers).toMatchObject({
      "docker-content-digest": image.digest,
      etag: `"${image.digest}"`,
      vary: "Accept, Cookie",
    });
  });

  test("are on the reply for a blob whose file is gone, too", async () => {
    await rm(join(registry.dataDir, "blobs"), { recursive: true });
    const reply = await expectHeaders(`/v2/team/app/blobs/${image.config.digest}`);
    expect(reply.status).toBe(404);
  });
});

test("headers that belong to each reply, and those that no header can be, stop the start", async () => {
  for (const name of ["CONTENT_LENGTH", "TRANSFER_ENCODING", "CONTENT_TYPE", "CONNECTION", "A:B", "A(B"]) {
    const said = await refusedStart({ env: { [`REGISTRY_HTTP_HEADERS_${name}`]: "1" } });
    expect(said).toContain("http.headers");
  }
  expect(await refusedStart({ env: { REGISTRY_HTTP_HEADERS: "[a]" } })).toContain("http.headers");
});

describe("a page of another origin", () => {
  const UI = "http://ui.example";
  let registry: RunningRegistry;
  beforeAll(async () => {
    const path = join(scratch, "htpasswd");
    await writeFile(path, `alice:${await hashOf("wonderland", "bcrypt")}\n`);
    registry = await startRegistry({
      env: {
        REGISTRY_AUTH_HTPASSWD_PATH: path,
        REGISTRY_AUTH_HTPASSWD_REALM: "Registry",
        "REGISTRY_HTTP_HEADERS_Access-Control-Allow-Origin": `[${UI}]`,
        "REGISTRY_HTTP_HEADERS_Access-Control-Allow-Credentials": "[true]",
      },
    });
  });
  afterAll(() => registry[Symbol.asyncDispose]());

  const preflight = async (target: string, method: string): Promise<Response> =>
    await fetch(`${registry.url}${target}`, {
      method: "OPTIONS",
      headers: {
        origin: UI,
        "access-control-request-method": method,
        "access-control-request-headers": "authorization,accept",
      },
    });

  test("may ask what it may send, without credentials, at every endpoint", async () => {
    const rows: Readonly<Record<string, string>> = {
      "/v2/": "GET",
      "/v2/_catalog": "GET",
      "/v2/team/app/tags/list": "GET",
      "/v2/team/app/manifests/v1": "DELETE",
      "/v2/team/app/blobs/uploads/": "POST",
      "/v2/team/app/blobs/uploads/x": "PATCH",
      "/token": "GET",
    };
    for (const [target, method] of Object.entries(rows)) {
      const reply = await preflight(target, method);
      expect([target, reply.status]).toEqual([target, 204]);
      expect(reply.headers.get("access-control-allow-origin")).toBe(UI);
      expect(reply.headers.get("access-control-allow-credentials")).toBe("true");
      expect(reply.headers.get("access-control-allow-methods")?.split(", ")).toContain(method);
      expect(reply.headers.get("access-control-allow-headers")?.toLowerCase().split(", ")).toContain("authorization");
    }
    expect((await preflight("/nothing", "GET")).status).toBe(404);
  });

  test("may read the challenge, and then the replies", async () => {
    for (const [headers, status] of [
      [{}, 401],
      [basic("alice", "wonderland"), 200],
    ] as const) {
      const reply = await fetch(`${registry.url}/v2/_catalog`, { headers: { origin: UI, ...headers } });
      expect(reply.status).toBe(status);
      expect(reply.headers.get("access-control-allow-origin")).toBe(UI);
      expect(reply.headers.get("access-control-expose-headers")).toContain("WWW-Authenticate");
    }
  });

  test("is told so by name where there are several, also from the cache", async () => {
    const others = ["http://a.example", "http://b.example"];
    const env = { "REGISTRY_HTTP_HEADERS_Access-Control-Allow-Origin": `[${others.join(", ")}]` };
    await using several = await startRegistry({ env });
    await pushImage(several.url, "team/app", "v1");
    for (const origin of [...others, ...others, "http://evil.example"]) {
      for (const target of ["/v2/team/app/manifests/v1", "/v2/absent/tags/list", "/healthz"]) {
        const { headers } = await fetch(`${several.url}${target}`, { headers: { origin } });
        expect(headers.get("access-control-allow-origin")).toBe(others.includes(origin) ? origin : null);
        expect(headers.get("vary")).toContain("Origin");
      }
    }
  });
});

test("without an origin in the settings OPTIONS is a method that is not here", async () => {
  await using registry = await startRegistry();
  const reply = await fetch(`${registry.url}/v2/`, { method: "OPTIONS", headers: { origin: "http://ui.example" } });
  expect(reply.status).toBe(405);
  expect(reply.headers.has("access-control-allow-origin")).toBeFalse();
});
