/** Bounds on reading over HTTP: whom they meet, and that a push is never among them. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { pushImage } from "../support/client.ts";
import { startRegistry } from "../support/registry.ts";
import { RepositoryClient } from "../support/repository-client.ts";

setDefaultTimeout(60_000);

const env = { REGISTRY_LIMITS_READS_ANONYMOUSPERMINUTE: "3" };

test("a client over the read rate limit is told when to retry, and may push all the time", async () => {
  await using registry = await startRegistry({ env });
  await pushImage(registry.url, "team/app", "latest");
  const app = new RepositoryClient(registry.url, "team/app");
  for (let read = 0; read < 3; read++) expect((await app.get("manifests/latest")).status).toBe(200);
  const refused = await app.get("manifests/latest");
  expect(refused.status).toBe(429);
  expect(await refused.json()).toMatchObject({ errors: [{ code: "TOOMANYREQUESTS" }] });
  expect(Number(refused.headers.get("retry-after"))).toBeWithin(1, 21);
  expect((await app.get("tags/list")).status).toBe(429);
  expect((await app.head("manifests/latest")).status).toBe(200);
  await pushImage(registry.url, "team/app", "next", 2);
});

test("behind a proxy that is trusted each client has its own limit, and no other sender can claim its address", async () => {
  await using behind = await startRegistry({ env: { ...env, REGISTRY_HTTP_TRUSTEDPROXIES: '["127.0.0.0/8"]' } });
  for (let read = 0; read < 3; read++) expect((await readAs("203.0.113.7", behind.url)).status).toBe(404);
  expect((await readAs("203.0.113.7", behind.url)).status).toBe(429);
  expect((await readAs("203.0.113.8, 203.0.113.7", behind.url)).status).toBe(429);
  expect((await readAs("203.0.113.8", behind.url)).status).toBe(404);
  // The proxy that writes X-Forwarded-For passes on what the client says in the other header.
  for (let read = 0; read < 4; read++) {
    expect((await readAs("203.0.113.7", behind.url, { forwarded: `for=198.51.100.${read}` })).status).toBe(429);
  }
  await behind.stop(); // what it logged is written by then
  expect(behind.output()).toContain('"http.request.remoteaddr":"203.0.113.8"');

  await using open = await startRegistry({ env });
  for (let read = 0; read < 3; read++) expect((await readAs(`203.0.113.${read}`, open.url)).status).toBe(404);
  expect((await readAs("203.0.113.9", open.url)).status).toBe(429);
  await open.stop();
  expect(open.output()).not.toContain("203.0.113");
});

/** As a proxy says it. */
function readAs(address: string, url: string, headers: Readonly<Record<string, string>> = {}): Promise<Response> {
  return fetch(`${url}/v2/team/app/manifests/latest`, { headers: { "x-forwarded-for": address, ...headers } });
}
