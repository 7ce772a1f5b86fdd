/** `http.prefix`: the whole registry below a path of its host. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { pushImage } from "../support/client.ts";
import { runProgram } from "../support/program.ts";
import { refusedStart } from "../support/refused-start.ts";
import { startRegistry } from "../support/registry.ts";
import type { RunningRegistry } from "../support/registry.ts";
import { useRegistry } from "../support/use-registry.ts";

setDefaultTimeout(60_000);

const registry = useRegistry({
  env: { REGISTRY_HTTP_PREFIX: "/some/path/", REGISTRY_SIGNATURES_ENABLED: "true" },
});
const base = (): string => `${registry().url}/some/path`;
const status = async (target: string, method = "GET"): Promise<number> =>
  (await fetch(`${registry().url}${target}`, { method })).status;

describe("below the prefix", () => {
  test("the registry is served, and every address in a reply has the prefix", async () => {
    const image = await pushImage(base(), "team/app", "v1"); // follows each Location
    await pushImage(base(), "team/app", "v2");
    for (let times = 0; times < 2; times++) {
      const pulled = await fetch(`${base()}/v2/team/app/manifests/v1`);
      expect([pulled.status, pulled.headers.get("docker-content-digest")]).toEqual([200, image.digest]);
      const page = await fetch(`${base()}/v2/team/app/tags/list?n=1`);
      expect(page.headers.get("link")).toBe('</some/path/v2/team/app/tags/list?n=1&last=v1>; rel="next"');
    }
    const begun = await fetch(`${base()}/v2/team/app/blobs/uploads/`, { method: "POST" });
    expect(begun.headers.get("location")).toStartWith("/some/path/v2/team/app/blobs/uploads/");
    const outOfOrder = await fetch(new URL(begun.headers.get("location") ?? "", registry().url), {
      method: "PATCH",
      headers: { "content-range": "5-9" },
      body: "12345",
    });
    expect(outOfOrder.status).toBe(416);
    expect(outOfOrder.headers.get("location")).toStartWith("/some/path/v2/team/app/blobs/uploads/");
    const mount = `mount=${image.config.digest}&from=team/app`;
    const mounted = await fetch(`${base()}/v2/other/blobs/uploads/?${mount}`, { method: "POST" });
    expect(mounted.status).toBe(201);
    expect(mounted.headers.get("location")).toBe(`/some/path/v2/other/blobs/${image.config.digest}`);
    expect(await status(`/some/path/extensions/v2/team/app/signatures/${image.digest}`)).toBe(200);
  });

  test("/v2 and the welcome page are there with and without a slash", async () => {
    for (const path of ["/v2", "/v2/", "/", "", "/healthz", "/readyz"]) {
      expect([path, await status(`/some/path${path}`)]).toEqual([path, 200]);
    }
  });

  test("errors are those of the registry", async () => {
    const reply = await fetch(`${base()}/v2/team/app/manifests/absent`);
    expect(reply.status).toBe(404);
    expect(reply.headers.get("docker-distribution-api-version")).toBe("registry/2.0");
    expect(await status("/some/path/v2/nothing")).toBe(404);
  });
});

describe("outside of the prefix", () => {
  test("probes are answered, and nothing else", async () => {
    for (const path of ["/", "/healthz", "/readyz"]) expect([path, await status(path)]).toEqual([path, 200]);
    const others = ["/v2/", "/v2", "/v2/_catalog", "/v2/team/app/manifests/v1", "/some/v2/", "/some/path2/v2/"];
    for (const path of [...others, "/token", "/some/pathv2/", "/other/some/path/v2/", "/some/path/some/path/v2/"]) {
      expect([path, await status(path)]).toEqual([path, 404]);
    }
    expect(await status("/v2/team/app/blobs/uploads/", "POST")).toBe(404);
  });
});

describe("with tokens", () => {
  let guarded: RunningRegistry;
  beforeAll(async () => {
    guarded = await startRegistry({ env: { REGISTRY_HTTP_PREFIX: "reg", REGISTRY_AUTH_USERS_ENABLED: "true" } });
  });
  afterAll(() => guarded[Symbol.asyncDispose]());

  test("clients are sent to the token service below the prefix, and log in there", async () => {
    await runProgram(guarded.dataDir, ["user", "add", "alice", "--password-stdin"], {}, "wonderland-1865\n");
    const challenged = await fetch(`${guarded.url}/reg/v2/`);
    expect(challenged.headers.get("www-authenticate")).toBe(
      `Bearer realm="${guarded.url}/reg/token",service="stowage"`,
    );
    const authorization = `Basic ${Buffer.from("alice:wonderland-1865").toString("base64")}`;
    const issued = await fetch(`${guarded.url}/reg/token?service=stowage`, { headers: { authorization } });
    const { token } = (await issued.json()) as { token: string };
    const reply = await fetch(`${guarded.url}/reg/v2/`, { headers: { authorization: `Bearer ${token}` } });
    expect(reply.status).toBe(200);
    expect((await fetch(`${guarded.url}/reg/.well-known/jwks.json`)).status).toBe(200);
  });
});

test("an external address with a path has that of the prefix", async () => {
  const host = "https://registry.example.com/reg/";
  const env = { REGISTRY_HTTP_PREFIX: "/reg/", REGISTRY_HTTP_HOST: host, REGISTRY_AUTH_USERS_ENABLED: "true" };
  await using server = await startRegistry({ env });
  const { headers } = await fetch(`${server.url}/reg/v2/`);
  expect(headers.get("www-authenticate")).toContain('realm="https://registry.example.com/reg/token"');
  const refused = await refusedStart({ env: { REGISTRY_HTTP_HOST: host, REGISTRY_HTTP_PREFIX: "/other/" } });
  expect(refused).toContain("http.host");
});
